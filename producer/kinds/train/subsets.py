"""Training and validation images that are drawn from two splits, before a job is created."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass

from sqlalchemy.orm import Session

from shared.database.catalogue import labelled_images
from shared.database.datasets import Dataset
from shared.errors import UsageError
from unitscope.data.subsets import Fold, Subsets, draw_subsets, smallest_class

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingSubsets:
    """The images of a run.

    Parameters
    ----------
    train_split, val_split
        names of splits.
    fold
        the part of the images of both splits, taken together, that is validated on; None: the splits are used.
    seed
        of the folds and the drawn images.
    per_class
        number of training images of each class; None: all.
    val_per_class
        largest number of validation images of each class; None: all.
    """

    train_split: str
    val_split: str
    fold: Fold | None = None
    seed: int = 0
    per_class: int | None = None
    val_per_class: int | None = None


def count_images(session: Session, dataset: Dataset, subsets: TrainingSubsets) -> tuple[int, int]:
    """Return the numbers of training and of validation images.

    Without folds, all images of a class that has fewer than ``per_class`` are used, and a note is logged.

    Raises
    ------
    UsageError
        a class has too few images for the folds, or fewer than ``per_class`` in the other folds.
    """
    found = labelled_images(session, dataset.id, (subsets.train_split, subsets.val_split))
    drawn = draw_subsets(
        found.labels,
        Subsets(found.members[subsets.train_split], found.members[subsets.val_split]),
        subsets.fold,
        subsets.seed,
        per_class=subsets.per_class,
        test_per_class=subsets.val_per_class,
    )
    labels = [found.labels[index] for index in drawn.training]
    needed = subsets.per_class or 1
    few = [label for label, count in Counter(labels).items() if count < needed]
    if subsets.fold:
        _require(dataset, found.labels, drawn, needed)
    elif few:
        smallest, count = smallest_class(found.labels, drawn.training, few)
        logger.warning(
            "Note: %s fewer than %d training images (%s: %d); all of them are used.",
            "1 class has" if len(few) == 1 else f"{len(few)} classes have",
            needed,
            dataset.class_names[smallest],
            count,
        )
    return len(drawn.training), len(drawn.test)


def _require(dataset: Dataset, labels: list[int], drawn: Subsets, needed: int) -> None:
    """Check that each class has enough images in the fold, and in the others."""
    for part, indices, least in (("training", drawn.training, needed), ("validation", drawn.test, 1)):
        label, count = smallest_class(labels, indices, set(labels))
        if count < least:
            raise UsageError(
                reason=f"Class '{dataset.class_names[label]}' has {count} {part} images with these folds, and "
                f"{least} are needed. Choose another number of folds, or a smaller --per-class."
            )
