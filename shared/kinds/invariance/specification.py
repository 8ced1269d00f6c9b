"""Invariance to shifts, scales and rotations (paper, Fig. 5).

Three stages: *measure* (shards of images: distances and predictions), *draw* (the same shards: a figure of each
image) and *finish* (one shard: the figure of all images).
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, FiniteFloat

from shared.kinds.specification import ANALYSIS, CPU, PlannedShard, Specification, image_ranges, range_shards
from unitscope.description import NetworkSpecification
from unitscope.features.choice import FeatureLayer
from unitscope.vocabulary import Interpolation, Outside, Transformation


class InvarianceSpecification(Specification):
    """Transformations of images, and the layers whose features are compared."""

    kind: ClassVar[str] = "invariance"
    version: ClassVar[int] = 1
    not_in_key: ClassVar[frozenset[str]] = frozenset({"split", "shards", "weights_path", "training_job_id"})

    split: str | None  # from which the images were chosen
    # Positions of the images in their data set, in the order of ids: unlike ids, the same in every database.
    images: list[int] = Field(min_length=1)
    whole_files: bool = False  # use whole files instead of the objects' boxes
    network: NetworkSpecification
    weights_sha256: str
    weights_path: str  # in the artifact store
    training_job_id: int | None
    layers: list[FeatureLayer] = Field(min_length=1)
    # Values of each transformation, ascending: pixels of the network's input, factors, degrees.
    shifts: list[FiniteFloat]
    scales: list[FiniteFloat]
    rotations: list[FiniteFloat]
    outside: Outside = "grey"
    interpolation: Interpolation = "bilinear"
    shards: int | None = Field(default=None, ge=1, le=100_000, description="None: one for every 8 images")

    @property
    def series(self) -> dict[Transformation, list[float]]:
        """The values of each transformation that has any."""
        series: dict[Transformation, list[float]] = {
            "shift": self.shifts,
            "scale": self.scales,
            "rotation": self.rotations,
        }
        return {transformation: values for transformation, values in series.items() if values}

    def plan(self) -> list[PlannedShard]:
        """Plan shards of images; the unit of work is images."""
        ranges = image_ranges(len(self.images), self.shards)
        return [
            *range_shards("measure", ANALYSIS, ranges),
            *range_shards("draw", CPU, ranges),
            PlannedShard("finish", CPU, {}, len(self.images)),
        ]
