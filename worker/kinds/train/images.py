"""Training and validation images of a run: splits or folds, and numbers of images of each class."""

from __future__ import annotations

from shared.kinds.train.specification import TrainSpecification
from unitscope.data.images import ImageSource
from unitscope.data.sampling import some_of_each_class
from unitscope.data.subsets import Subsets, draw_per_class, draw_subsets
from worker.context import JobContext
from worker.kinds.common import split_sources


def images_of(
    context: JobContext, specification: TrainSpecification
) -> tuple[list[ImageSource], list[ImageSource]]:
    """Return the training and the validation images, in ascending order of their ids."""
    training = split_sources(context, specification.train_split)
    validation = split_sources(context, specification.val_split)
    if specification.fold is None:
        if specification.train_per_class:
            training = some_of_each_class(training, specification.train_per_class, specification.seed)
        labels = [source.label for source in validation]
        chosen = draw_per_class(labels, range(len(labels)), specification.val_per_class, specification.seed)
        return training, [validation[index] for index in chosen]
    both = sorted({source.id: source for source in (*training, *validation)}.values(), key=lambda image: image.id)
    subsets = draw_subsets(
        [source.label for source in both],
        Subsets([], []),
        specification.fold,
        specification.seed,
        per_class=specification.train_per_class,
        test_per_class=specification.val_per_class,
    )
    return [both[index] for index in subsets.training], [both[index] for index in subsets.test]
