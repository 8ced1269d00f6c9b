"""Cost of a job of filters: numbers of its files and their sizes."""

from __future__ import annotations

from typing import Any

from producer.kinds.estimates import Estimate, Storage
from producer.networks.description import describe
from shared.database.connection import Database
from shared.kinds.filters.specification import FiltersSpecification
from shared.settings import Settings

FIGURE_BYTES = 300_000
TILES_BYTES = 800_000  # of a layer's kernels
MOST_NORMS = 1024**2  # pixels of the map of the kernels' norms, of 3 bytes


def storage(database: Database, settings: Settings, specification: FiltersSpecification) -> Storage:
    """Add up the pictures of all layers, and the figure."""
    size = FIGURE_BYTES
    for chosen in specification.networks:
        described = describe(database, chosen.network, settings)
        parameters = {layer.path: layer.parameters for layer in described.layers}
        size += sum(TILES_BYTES + 3 * min(parameters[layer.path], MOST_NORMS) for layer in chosen.layers)
    return Storage(len(specification.all_layers()) + 1, size)


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
