"""Cost of an evolution: numbers of its files and their sizes."""

from __future__ import annotations

from typing import Any

from producer.cost.pictures import PROJECTION_SHARE, crop_bytes, png_share
from producer.kinds.estimates import Estimate, Storage
from producer.networks.description import describe
from shared.database.connection import Database
from shared.kinds.evolution.specification import EvolutionSpecification
from shared.settings import Settings

RANKED_BYTES = 2 * 20 + 2  # of a unit: two images with activation, row and column; and its state
ARRAY_BYTES = 300  # name and shape of an array of an intermediate result
ARRAYS = 6  # of a layer
CELL_BYTES = 3 * (72**2 + 2 * 84**2)  # of a unit at an epoch: its part of the figure and of its layer's block
CURVE_BYTES = 60_000


def storage(database: Database, settings: Settings, specification: EvolutionSpecification) -> Storage:
    """Add up the intermediate results, and the pictures of all drawn units as if none were dead."""
    network, epochs = specification.network, len(specification.checkpoints)
    searches = sum(shard.stage == "search" for shard in specification.plan())
    units = sum(layer.units for layer in specification.layers)
    of_all_layers = units * RANKED_BYTES + len(specification.layers) * ARRAYS * ARRAY_BYTES
    size = (searches + epochs) * of_all_layers + CURVE_BYTES
    share = png_share(database, specification.dataset_id, network.image_size)
    fields = {layer.path: layer.receptive_field for layer in describe(database, network, settings).layers}
    files = searches + 3 + len(specification.layers)
    for layer in specification.layers:
        field = fields[layer.path] or network.image_size
        count = epochs * specification.drawn_count(layer)
        files += 2 * count
        size += count * (
            CELL_BYTES + sum(crop_bytes(field, network.image_size, part) for part in (share, PROJECTION_SHARE))
        )
    return Storage(files, size)


def same_speed(specification: EvolutionSpecification) -> Any:
    """Return the network, the layers, and the projection method."""
    return specification.network, [layer.path for layer in specification.layers], specification.projection


def same_files(specification: EvolutionSpecification) -> Any:
    """Return what determines which units are dead."""
    weights = [checkpoint.weights_sha256 for checkpoint in specification.checkpoints]
    return same_speed(specification), weights, specification.dataset_fingerprint


ESTIMATE = Estimate(
    images=lambda specification: specification.image_count,
    storage=storage,
    same_speed=same_speed,
    same_files=same_files,
)
