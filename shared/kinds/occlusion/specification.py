"""Occlusion sweeps (paper, Fig. 7): a square covers one part of an image after the other.

Three stages: *sweep* (shards of images: maps and projections), *draw* (the same shards: figures) and *finish* (one
shard: the contact sheet).
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from shared.kinds.specification import (
    ANALYSIS,
    CPU,
    IMAGES_OF_SHARD,
    PlannedShard,
    Specification,
    image_ranges,
    range_shards,
)
from unitscope.description import NetworkSpecification
from unitscope.vocabulary import Engine, Fill

# A batch holds positions of several images; shards of fewer images would leave batches partly padded.


class OcclusionSpecification(Specification):
    """An occlusion sweep over images."""

    kind: ClassVar[str] = "occlusion"
    version: ClassVar[int] = 1
    not_in_key: ClassVar[frozenset[str]] = frozenset(
        {"split", "shards", "weights_path", "training_job_id", "top9_job_id"}
    )

    split: str | None  # from which the images were chosen
    # Positions of the images in their data set, in the order of ids: unlike ids, the same in every database.
    images: list[int] = Field(min_length=1)
    whole_files: bool = False  # sweep whole files instead of the objects' boxes
    network: NetworkSpecification
    weights_sha256: str
    weights_path: str  # in the artifact store
    training_job_id: int | None
    layer: str
    path: str
    unit: int | None  # None: the strongest unit of each image
    target: int | None  # index of another class whose probability is also recorded
    patch: int = Field(ge=1, description="side of the square, in pixels of the network's input")
    stride: int = Field(ge=1)
    fill: Fill = "grey"
    seed: int = Field(default=0, ge=0, lt=2**63, description="seed of the noise")
    engine: Engine = "auto"
    # Of jobs of earlier versions, which could interpolate positions. Every position is computed now.
    approximate: float = Field(default=0.0, ge=0, lt=1, allow_inf_nan=False)
    memory_mb: int = Field(default=1024, ge=1)
    positions: bool = False  # also record a row for every position of the square
    # A top-9 search, whose top images of the unit are shown in the figures.
    top9_key: str | None = None
    top9_job_id: int | None = None
    shards: int | None = Field(default=None, ge=1, le=100_000, description="None: one for every 8 images")

    @property
    def together(self) -> int:
        """Number of images that are usually swept together; it does not depend on ``shards``."""
        return min(len(self.images), IMAGES_OF_SHARD)

    def plan(self) -> list[PlannedShard]:
        """Plan shards of images; the unit of work is images."""
        ranges = image_ranges(len(self.images), self.shards)
        return [
            *range_shards("sweep", ANALYSIS, ranges),
            *range_shards("draw", CPU, ranges),
            PlannedShard("finish", CPU, {}, len(self.images)),
        ]
