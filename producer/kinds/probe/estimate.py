"""Cost of a probe job: numbers of its files and their sizes."""

from __future__ import annotations

from typing import Any

from producer.kinds.estimates import Estimate, Storage
from shared.database.connection import Database
from shared.kinds.probe.specification import ProbeSpecification
from shared.settings import Settings

FEATURE_BYTES = 4  # float32
CURVE_BYTES = 40_000


def storage(database: Database, settings: Settings, specification: ProbeSpecification) -> Storage:
    """Add up the features of all layers and images, and the curve."""
    shards = sum(shard.stage == "features" for shard in specification.plan())
    features = sum(layer.features for layer in specification.layers)
    return Storage(shards + 1, specification.image_count * features * FEATURE_BYTES + CURVE_BYTES)


def same_speed(specification: ProbeSpecification) -> Any:
    """Return the network, its layers, and the number of images of a fit."""
    names = ("network", "layers", "classifiers", "sampling", "dataset_fingerprint")
    return [getattr(specification, name) for name in names]


def same_files(specification: ProbeSpecification) -> Any:
    """Return what the sizes of the files depend on."""
    return specification.layers, specification.image_count


ESTIMATE = Estimate(
    images=lambda specification: specification.image_count,
    storage=storage,
    same_speed=same_speed,
    same_files=same_files,
)
