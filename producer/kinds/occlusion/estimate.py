"""Cost of an occlusion sweep: numbers of its files and their sizes."""

from __future__ import annotations

from typing import Any

from producer.cost.pictures import PROJECTION_SHARE, crop_bytes, png_share
from producer.kinds.estimates import Estimate, Storage
from producer.networks.description import describe
from shared.database.connection import Database
from shared.kinds.occlusion.specification import OcclusionSpecification
from shared.settings import Settings

POSITION_BYTES = 6  # compressed values of a position in the file of an image's maps
MAPS_BYTES = 2_000
FIGURE_BYTES = 400_000  # its panels have the same size for all networks
TOP_IMAGES_BYTES = 100_000  # and its panels of the unit's top images
ROW_BYTES = 143_000  # an image's part of the contact sheet, not compressed
SHEET_BYTES = 24_000  # and as a part of the sheet
SHOWN_IMAGES = 1000  # on the contact sheet


def storage(database: Database, settings: Settings, specification: OcclusionSpecification) -> Storage:
    """Add up the maps, the pictures, the figure and the part of the contact sheet of all images."""
    size, count = specification.network.image_size, len(specification.images)
    layers = describe(database, specification.network, settings).layers
    field = next(layer.receptive_field for layer in layers if layer.path == specification.path) or size
    share = png_share(database, specification.dataset_id, size)
    side = max(1, (size - specification.patch) // specification.stride + 1)
    of_image = MAPS_BYTES + side * side * POSITION_BYTES + FIGURE_BYTES + ROW_BYTES
    of_image += TOP_IMAGES_BYTES * (specification.top9_key is not None)
    of_image += sum(crop_bytes(field, size, kind_share) for kind_share in (share, PROJECTION_SHARE))
    draws = sum(shard.stage == "draw" for shard in specification.plan())
    return Storage(4 * count + draws + 1, count * of_image + min(count, SHOWN_IMAGES) * SHEET_BYTES)


def same_speed(specification: OcclusionSpecification) -> Any:
    """Return the network, and what is computed for each image."""
    names = ("network", "path", "patch", "stride", "engine", "approximate", "positions", "together", "memory_mb")
    return [getattr(specification, name) for name in names]


def same_files(specification: OcclusionSpecification) -> Any:
    """Return what the content of the files depends on."""
    return same_speed(specification), specification.dataset_fingerprint, specification.top9_key is None


ESTIMATE = Estimate(
    images=lambda specification: len(specification.images),
    storage=storage,
    same_speed=same_speed,
    same_files=same_files,
)
