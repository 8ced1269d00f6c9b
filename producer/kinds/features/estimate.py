"""Cost of a job of feature maps: numbers of its files and their sizes."""

from __future__ import annotations

import math
from typing import Any

from producer.kinds.estimates import Estimate, Storage
from producer.networks.description import describe
from shared.database.connection import Database
from shared.kinds.features.specification import FeaturesSpecification
from shared.settings import Settings
from unitscope.features.layers import layers_with_maps

PANEL_BYTES = 6_000  # of a layer in an overview
HEADING_BYTES = 40_000
ROW_BYTES = 250_000  # an image's part of the sheet, not compressed
SHEET_BYTES = 60_000  # and as a part of the sheet
SHEET_IMAGES = 24
LARGEST_CELL = 224  # pixels; a grid has at most this side for each channel
LARGEST_GRID = 2400
GRID_SHARE = 0.6  # of the bytes of maps in memory; a map that is enlarged compresses to its size
CELL_BYTES = 400
VALUE_BYTES = 4


def storage(database: Database, settings: Settings, specification: FeaturesSpecification) -> Storage:
    """Add up the pictures and arrays of all images, and the sheet."""
    runs = layers_with_maps(describe(database, specification.network, settings))
    shapes = {(run.path, run.call): run.description.output_shape for run in runs}
    drawn = [shapes[layer.path, layer.call] for layer in specification.layers if layer.channels]
    of_image = HEADING_BYTES + PANEL_BYTES * (len(specification.layers) + 1)
    of_image += sum(_grid_bytes(channels, max(rows, cols)) for channels, rows, cols in drawn)
    if specification.arrays:
        of_image += VALUE_BYTES * sum(math.prod(shape) for shape in drawn)
    count = specification.image_count
    files = count * (1 + len(drawn) + specification.arrays) + len(specification.plan())
    shown = min(count, SHEET_IMAGES)
    return Storage(files, count * of_image + shown * (ROW_BYTES + SHEET_BYTES))


def _grid_bytes(channels: int, side: int) -> int:
    columns = math.ceil(math.sqrt(channels))
    cell = min(max(side, 96), LARGEST_CELL, max(32, LARGEST_GRID // columns))
    return HEADING_BYTES + channels * (CELL_BYTES + round(3 * GRID_SHARE * min(side, cell) ** 2))


def same_speed(specification: FeaturesSpecification) -> Any:
    """Return the network, and what is computed for each image."""
    return specification.network, specification.layers, specification.scale, specification.arrays


def same_files(specification: FeaturesSpecification) -> Any:
    """Return what the content of the files depends on."""
    return same_speed(specification), specification.weights_sha256, specification.dataset_fingerprint


ESTIMATE = Estimate(
    images=lambda specification: len(specification.images),
    storage=storage,
    same_speed=same_speed,
    same_files=same_files,
)
