"""Cost of a correspondence job: numbers of its files and their sizes."""

from __future__ import annotations

import math
from typing import Any

from producer.kinds.estimates import Estimate, Storage
from producer.networks.description import describe
from shared.database.connection import Database
from shared.kinds.correspondence.specification import CorrespondenceSpecification
from shared.settings import Settings

CELL_BYTES = 5_000  # of a masked image in the picture of an image
FIGURE_CELL_BYTES = 30_000  # and in the figure
SHOWN_RANDOM, SHOWN_IMAGES = 3, 10


def storage(database: Database, settings: Settings, specification: CorrespondenceSpecification) -> Storage:
    """Add up the signs of all images, two bits for each feature, their pictures, and the figure."""
    sizes = {layer.path: math.prod(layer.output_shape) for layer in _layers(database, settings, specification)}
    features = sum(sizes.get(layer.path, 0) for layer in specification.layers)
    signs = len(specification.masks) * (specification.draws + 1) * (features // 4 + 200)
    count = len(specification.images)
    cells = 1 + len(specification.parts) + min(SHOWN_RANDOM, specification.draws)
    pictures = cells * (count * CELL_BYTES + min(count, SHOWN_IMAGES) * FIGURE_CELL_BYTES)
    return Storage(2 * count + 1, signs + pictures)


def _layers(database: Database, settings: Settings, specification: CorrespondenceSpecification) -> Any:
    return describe(database, specification.network, settings).layers


def same_speed(specification: CorrespondenceSpecification) -> Any:
    """Return the network, and what is computed for each image."""
    masks = round(len(specification.masks) / len(specification.images), 1)
    return specification.network, specification.layers, specification.draws, masks


def same_files(specification: CorrespondenceSpecification) -> Any:
    """Return what the content of the files depends on."""
    return same_speed(specification), specification.dataset_fingerprint


ESTIMATE = Estimate(
    images=lambda specification: len(specification.images),
    storage=storage,
    same_speed=same_speed,
    same_files=same_files,
)
