"""Validate a training run's best epoch again, with its stored weights."""

from __future__ import annotations

import random
from typing import cast

from sqlalchemy import select

from shared.database.catalogue import find_checkpoint
from shared.database.networks import CheckpointKind, TrainingRun
from shared.kinds.train.specification import TrainSpecification
from shared.kinds.train.tables import Epoch, Phase
from unitscope.data.images import batches
from unitscope.training.loop import Trainer
from worker.context import JobContext
from worker.kinds.checking import Comparison
from worker.kinds.common import load_network
from worker.kinds.train.images import images_of


def check(context: JobContext, chance: random.Random, sample: int) -> Comparison:
    """Recompute loss and accuracy over the whole validation split. ``sample`` is ignored, since they are one
    row."""
    specification = cast(TrainSpecification, context.specification)
    with context.database.read() as session:
        best = find_checkpoint(session, context.job_id, CheckpointKind.BEST)
        assert best is not None  # noqa: S101 - a finished run has a best epoch
        best_epoch = (Epoch.job_id == context.job_id, Epoch.epoch == best.epoch, Epoch.phase == Phase.VAL)
        epoch = session.scalars(select(Epoch).where(*best_epoch)).one_or_none()
        environment = session.get_one(TrainingRun, context.job_id).environment or {}
    comparison, name = Comparison(), f"epoch {best.epoch}"
    if epoch is None:
        comparison.row(name, "its row is missing")
        return comparison
    network, recipe = specification.network, specification.recipe
    model = load_network(context, network, best.path)
    trainer = Trainer(model, recipe, specification.seed, context.device, mean=network.mean, std=network.std)
    trainer.mixed = environment.get("precision", "float32") != "float32"  # as in the run, whatever the device
    _, sources = images_of(context, specification)
    result = trainer.validate(batches(sources, recipe.batch_size, network.image_size, skipped=[]))
    difference = f"recorded {epoch.images} images, recomputed {result.images}"
    comparison.row(name, None if result.images == epoch.images else difference)
    comparison.number(f"{name}, loss", epoch.loss, result.loss)
    # Allow one image near a decision boundary to change its predicted class.
    if abs(epoch.accuracy - result.accuracy) * result.images > 1.5:
        comparison.number(f"{name}, accuracy", epoch.accuracy, result.accuracy)
    return comparison
