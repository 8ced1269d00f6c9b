"""The images of a probe job, and those of each trial."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.database.datasets import Image, ImageSplit
from shared.kinds.probe.specification import Sampling
from unitscope.data.subsets import Subsets, draw_per_class, split_fold


@dataclass(frozen=True)
class ProbedImages:
    """Ids and labels of the images of all trials, ascending by id; ``trials`` holds indices into them."""

    ids: list[int]
    labels: list[int]
    trials: list[Subsets]


def probed_images(session: Session, dataset_id: int, sampling: Sampling) -> ProbedImages:
    """Draw the images of all trials. The result depends on the data set and the sampling alone."""
    labels: dict[int, int] = {}
    members: dict[str, set[int]] = {sampling.train_split: set(), sampling.test_split: set()}
    query = (
        select(Image.id, Image.class_index, ImageSplit.split)
        .join(ImageSplit, ImageSplit.image_id == Image.id)
        .where(ImageSplit.dataset_id == dataset_id, ImageSplit.split.in_(members))
    )
    for image_id, label, split in session.execute(query):
        labels[image_id] = label
        members[split].add(image_id)
    ids = sorted(labels)
    of_ids = [labels[image_id] for image_id in ids]
    parts = [
        [index for index, image_id in enumerate(ids) if image_id in members[split]]
        for split in (sampling.train_split, sampling.test_split)
    ]
    trials = []
    for trial in sampling.trials:
        divided = split_fold(of_ids, trial.fold, trial.seed) if trial.fold else Subsets(*parts)
        training = draw_per_class(of_ids, divided.training, sampling.per_class, trial.seed)
        trials.append(Subsets(training, draw_per_class(of_ids, divided.test, sampling.test_per_class, trial.seed)))
    used = sorted({index for subsets in trials for part in subsets for index in part})
    place = {index: new for new, index in enumerate(used)}
    return ProbedImages(
        [ids[index] for index in used],
        [of_ids[index] for index in used],
        [Subsets(*([place[index] for index in part] for part in subsets)) for subsets in trials],
    )
