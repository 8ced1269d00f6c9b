"""Cost of a training run: numbers of its files and their sizes."""

from __future__ import annotations

from typing import Any

from producer.kinds.estimates import Estimate, Storage
from producer.networks.description import describe
from shared.database.connection import Database
from shared.kinds.train.specification import TrainSpecification
from shared.settings import Settings

STATE_SIZES = {"sgd": 2, "adam": 3, "adamw": 3}  # of the training state, in sizes of the weights
CHARTS, CHARTS_BYTES = 3, 300_000


def storage(database: Database, settings: Settings, specification: TrainSpecification) -> Storage:
    """Add up the weights of the epochs that are kept or the best one so far, and the training state.

    The weights of an earlier best epoch stay until ``analyze gc``. The accuracy is assumed to grow in the first
    half of the epochs. The next training state is written before the previous one is removed.
    """
    weights = describe(database, specification.network, settings).bytes
    epochs = range(specification.extended_epochs + 1, specification.recipe.epochs + 1)
    kept = {epoch for epoch in epochs if epoch in specification.keep_epochs or epoch == epochs[-1]}
    best = set(epochs[: -(-len(epochs) // 2)])
    state = weights * STATE_SIZES[specification.recipe.optimizer]
    files = len(kept | best)
    return Storage(files + 1 + CHARTS, files * weights + state + CHARTS_BYTES, temporary_bytes=state)


def same_speed(specification: TrainSpecification) -> Any:
    """Return the network, and what is computed for each image."""
    recipe = specification.recipe
    return specification.network, recipe.batch_size, recipe.optimizer, recipe.precision, recipe.freeze


def same_files(specification: TrainSpecification) -> Any:
    """Return what the number of kept epochs depends on."""
    recipe, data = specification.recipe, specification.dataset_fingerprint
    return specification.network, recipe, specification.keep_epochs, data, specification.extended_epochs


ESTIMATE = Estimate(
    images=lambda specification: specification.train_count + specification.val_count,
    storage=storage,
    same_speed=same_speed,
    same_files=same_files,
)
