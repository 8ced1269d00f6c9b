"""The images of a probe job, and those of each trial."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from shared.database.catalogue import labelled_images
from shared.kinds.probe.specification import Sampling
from unitscope.data.subsets import Subsets, draw_subsets


@dataclass(frozen=True)
class ProbedImages:
    """Ids and labels of the images of all trials, ascending by id; ``trials`` holds indices into them."""

    ids: list[int]
    labels: list[int]
    trials: list[Subsets]


def probed_images(session: Session, dataset_id: int, sampling: Sampling) -> ProbedImages:
    """Draw the images of all trials. The result depends on the data set and the sampling alone."""
    found = labelled_images(session, dataset_id, (sampling.train_split, sampling.test_split))
    splits = Subsets(found.members[sampling.train_split], found.members[sampling.test_split])
    trials = [
        draw_subsets(
            found.labels,
            splits,
            trial.fold,
            trial.seed,
            per_class=sampling.per_class,
            test_per_class=sampling.test_per_class,
        )
        for trial in sampling.trials
    ]
    used = sorted({index for subsets in trials for part in subsets for index in part})
    place = {index: new for new, index in enumerate(used)}
    return ProbedImages(
        [found.ids[index] for index in used],
        [found.labels[index] for index in used],
        [Subsets(*([place[index] for index in part] for part in subsets)) for subsets in trials],
    )
