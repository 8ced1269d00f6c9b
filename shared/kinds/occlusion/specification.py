"""Occlusion sweeps (paper, Fig. 7): a square hides one part of an image after the other.

Three stages: *sweep* (shards of images: maps, projections), *draw* (the same shards: figures) and *finish* (one
shard: the contact sheet).
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from shared.kinds.specification import ANALYSIS, CPU, PlannedShard, Specification, cut
from unitscope.description import NetworkSpecification
from unitscope.vocabulary import Engine, Fill

# Batches hold positions of several images; a shard of fewer images than that fills them up to no purpose.
IMAGES_OF_SHARD = 8


class OcclusionSpecification(Specification):
    """A square's sweep over images."""

    kind: ClassVar[str] = "occlusion"
    version: ClassVar[int] = 1
    not_in_key: ClassVar[frozenset[str]] = frozenset(
        {"split", "shards", "weights_path", "training_job_id", "top9_job_id"}
    )

    split: str | None  # that the images were chosen from
    # Numbers of the images in the data set, in the order of their ids: the same on every database.
    images: list[int] = Field(min_length=1)
    whole_files: bool = False  # not the objects' boxes
    network: NetworkSpecification
    weights_sha256: str
    weights_path: str  # in the artifact store
    training_job_id: int | None
    layer: str
    path: str
    unit: int | None  # None: of each image the strongest
    target: int | None  # index of another class whose probability is recorded
    patch: int = Field(ge=1, description="side of the square, in pixels of the network's input")
    stride: int = Field(ge=1)
    fill: Fill = "grey"
    seed: int = Field(default=0, ge=0, lt=2**63, description="of the noise")
    engine: Engine = "auto"
    approximate: float = Field(default=0.0, ge=0, lt=1, allow_inf_nan=False)
    memory_mb: int = Field(default=1024, ge=1)
    positions: bool = False  # a row for every position of the square
    # A search whose top images of the unit are shown in the figures.
    top9_key: str | None = None
    top9_job_id: int | None = None
    shards: int | None = Field(default=None, ge=1, le=100_000, description="None: one for every 8 images")

    @property
    def together(self) -> int:
        """How many images mostly come together, whatever the shards."""
        return min(len(self.images), IMAGES_OF_SHARD)

    def plan(self) -> list[PlannedShard]:
        """Shards of images; the work is counted in images."""
        ranges = cut(len(self.images), self.shards or -(-len(self.images) // IMAGES_OF_SHARD))
        return [
            *(
                PlannedShard(stage, queue, {"start": start, "stop": stop}, stop - start)
                for stage, queue in (("sweep", ANALYSIS), ("draw", CPU))
                for start, stop in ranges
            ),
            PlannedShard("finish", CPU, {}, len(self.images)),
        ]
