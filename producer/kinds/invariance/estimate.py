"""Cost of an invariance job: numbers of its files and their sizes."""

from __future__ import annotations

from typing import Any

from producer.kinds.estimates import Estimate, Storage
from shared.database.connection import Database
from shared.kinds.invariance.specification import InvarianceSpecification
from shared.settings import Settings

SHOWN_IMAGES = 10  # on the figure of all images
EXAMPLES, EXAMPLE_BYTES_STORED = 5, 3 * 72 * 72  # of an image and transformation
ROW_BYTES = 60_000  # of a figure, for each transformation: curves
LAYER_BYTES = 15_000  # and for each layer
EXAMPLE_BYTES = 12_000  # and for each example


def storage(database: Database, settings: Settings, specification: InvarianceSpecification) -> Storage:
    """Add up the figure of each image, the examples, and the figure of all images."""
    rows, count = len(specification.series), len(specification.images)
    shown = min(count, SHOWN_IMAGES)
    curves = rows * (ROW_BYTES + LAYER_BYTES * len(specification.layers))
    of_examples = rows * EXAMPLES * EXAMPLE_BYTES
    stored_examples = shown * rows * EXAMPLES * EXAMPLE_BYTES_STORED
    shards = sum(shard.stage == "draw" for shard in specification.plan())
    return Storage(
        count + shards + 1, (count + 1) * curves + (count + shown) * of_examples + stored_examples + 1000 * shards
    )


def same_speed(specification: InvarianceSpecification) -> Any:
    """Return the network, and what is computed for each image."""
    values = [len(values) for values in specification.series.values()]
    return specification.network, specification.layers, values, specification.interpolation


def same_files(specification: InvarianceSpecification) -> Any:
    """Return what the content of the files depends on."""
    return same_speed(specification), specification.dataset_fingerprint


ESTIMATE = Estimate(
    images=lambda specification: len(specification.images),
    storage=storage,
    same_speed=same_speed,
    same_files=same_files,
)
