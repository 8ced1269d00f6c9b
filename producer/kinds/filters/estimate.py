"""Cost of a job of filters: numbers of its files and their sizes."""

from __future__ import annotations

from typing import Any

from producer.kinds.estimates import Estimate, Storage
from producer.networks.description import describe
from shared.database.connection import Database
from shared.kinds.filters.specification import FiltersSpecification
from shared.settings import Settings

FIGURE_BYTES = 80_000
HEADING_BYTES = 10_000
COLOURED_TILE_BYTES, GREY_TILE_BYTES = 600, 110
MOST_COLOURED = 256  # filters of a sheet in colour
MOST_ROWS, MOST_COLUMNS = 32, 48  # filters and input channels of a sheet in grey
MOST_NORMS = 1024**2  # pixels of the map of the kernels' norms, of 3 bytes


def storage(database: Database, settings: Settings, specification: FiltersSpecification) -> Storage:
    """Add up the pictures of all layers, and the figure."""
    size = FIGURE_BYTES
    for chosen in specification.networks:
        described = describe(database, chosen.network, settings)
        inputs = 3  # channels of the layer before: of a network that is no chain, an approximation
        sizes: dict[str, int] = {}
        for layer in described.layers:
            sizes.setdefault(layer.path, _sheet_bytes(layer.units, inputs))
            inputs = layer.units
        size += sum(sizes[layer.path] for layer in chosen.layers)
    return Storage(len(specification.all_layers()) + 1, size)


def _sheet_bytes(filters: int, inputs: int) -> int:
    if inputs == 3:
        return HEADING_BYTES + COLOURED_TILE_BYTES * min(filters, MOST_COLOURED)
    tiles = min(filters, MOST_ROWS) * min(inputs, MOST_COLUMNS)
    return HEADING_BYTES + GREY_TILE_BYTES * tiles + 3 * min(filters * inputs, MOST_NORMS)


def same_speed(specification: FiltersSpecification) -> Any:
    """Return the networks and their layers."""
    return [(chosen.network, chosen.layers) for chosen in specification.networks]


def same_files(specification: FiltersSpecification) -> Any:
    """Return what the content of the pictures depends on."""
    weights = [chosen.weights_sha256 for chosen in specification.networks]
    return same_speed(specification), weights, specification.scale, specification.units, specification.inputs


ESTIMATE = Estimate(
    images=lambda specification: 0,
    storage=storage,
    same_speed=same_speed,
    same_files=same_files,
)
