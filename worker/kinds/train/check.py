"""A training run's best epoch, validated again with the weights that were kept of it."""

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
from worker.kinds.common import split_sources, trained


def check(context: JobContext, chance: random.Random, sample: int) -> Comparison:
    """Loss and accuracy of the whole validation split: they are one row, of which no part can be taken."""
    specification = cast(TrainSpecification, context.specification)
    with context.database.read() as session:
        best = find_checkpoint(session, context.job_id, CheckpointKind.BEST)
        assert best is not None  # noqa: S101 - the run is done
        of_best = (Epoch.job_id == context.job_id, Epoch.epoch == best.epoch, Epoch.phase == Phase.VAL)
        epoch = session.scalars(select(Epoch).where(*of_best)).one_or_none()
        environment = session.get_one(TrainingRun, context.job_id).environment or {}
    comparison, name = Comparison(), f"epoch {best.epoch}"
    if epoch is None:
        comparison.row(name, "it has no row")
        return comparison
    network, recipe = specification.network, specification.recipe
    model = trained(context, network, best.path)
    trainer = Trainer(model, recipe, specification.seed, context.device, mean=network.mean, std=network.std)
    trainer.mixed = environment.get("precision", "float32") != "float32"  # whatever this device would choose
    sources = split_sources(context, specification.val_split)
    found = trainer.validate(batches(sources, recipe.batch_size, network.image_size, skipped=[]))
    read = f"{epoch.images} images are recorded, {found.images} could be read"
    comparison.row(name, None if found.images == epoch.images else read)
    comparison.number(f"{name}, loss", epoch.loss, found.loss)
    # An image on the verge may change sides.
    if abs(epoch.accuracy - found.accuracy) * found.images > 1.5:
        comparison.number(f"{name}, accuracy", epoch.accuracy, found.accuracy)
    return comparison
