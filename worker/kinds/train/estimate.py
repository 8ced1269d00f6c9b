"""Measure some batches of a training run on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch

from shared.kinds.train.specification import TrainSpecification
from unitscope.data.images import Batch, ImageSource, batches
from unitscope.networks.initialization import initialize
from unitscope.training.loop import Trainer
from worker.context import JobContext
from worker.kinds.common import split_sources
from worker.kinds.measuring import Measured, seconds_of
from worker.networks.build import build

BATCHES = 2  # after one whose time is not counted


def measure(context: JobContext) -> Measured:
    """Measure training and validation on some batches of the splits. The writing of checkpoints isn't measured."""
    specification = cast(TrainSpecification, context.specification)
    network, recipe = specification.network, specification.recipe
    torch.manual_seed(specification.seed)
    model = build(context, network)
    initialize(model, recipe.init)
    trainer = Trainer(model, recipe, specification.seed, context.device, mean=network.mean, std=network.std)

    def read(sources: list[ImageSource]) -> Iterator[Batch]:
        return batches(sources, recipe.batch_size, network.image_size, skipped=[])

    some = (1 + BATCHES) * recipe.batch_size
    training = split_sources(context, specification.train_split, 0, min(some, specification.train_count))
    validation = split_sources(context, specification.val_split, 0, recipe.batch_size)
    timed = training[recipe.batch_size :] or training
    trainer.train(read(training[: recipe.batch_size]))
    learning = seconds_of(lambda: trainer.train(read(timed)), context.device) / len(timed)
    trainer.validate(read(validation))
    checking = seconds_of(lambda: trainer.validate(read(validation)), context.device) / len(validation)
    images = specification.train_count + specification.val_count
    mean = (learning * specification.train_count + checking * specification.val_count) / images
    return Measured({"train": mean})
