"""Filters of convolutions (paper, Fig. 6), of one network or of two.

Two stages: *draw* (shards of layers: statistics and a picture of each layer) and *finish* (one shard: the figure).
No image is read. The data set is the one that the job belongs to, and no part of the key.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from shared.kinds.specification import CPU, PlannedShard, Specification, cut, range_shards
from unitscope.description import NetworkSpecification
from unitscope.vocabulary import Scale


class ChosenLayer(BaseModel):
    """A convolution whose filters are shown."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layer: str
    path: str


class ChosenFilters(BaseModel):
    """A network, its weights, and its convolutions to show, in execution order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: NetworkSpecification
    weights_sha256: str
    weights_path: str  # in the artifact store
    layers: list[ChosenLayer] = Field(min_length=1)


class FiltersSpecification(Specification):
    """The filters of some convolutions of one network, or of two that are shown side by side."""

    kind: ClassVar[str] = "filters"
    version: ClassVar[int] = 1
    not_in_key: ClassVar[frozenset[str]] = frozenset(
        {"dataset_fingerprint", "shards", "training_job_id", "other_training_job_id"}
    )

    networks: list[ChosenFilters] = Field(min_length=1, max_length=2)
    training_job_id: int | None  # runs that produced the weights of the first network and of the second
    other_training_job_id: int | None = None
    scale: Scale = "own"
    # Filters and input channels in the pictures; none: as many as fit. Rows are always those of all filters.
    units: list[int] = Field(default=[])
    inputs: list[int] = Field(default=[])
    shards: int = Field(default=4, ge=1, le=100_000)

    def all_layers(self) -> list[tuple[int, int]]:
        """Return the indices of each network and layer, in order."""
        return [
            (network, layer) for network, chosen in enumerate(self.networks) for layer in range(len(chosen.layers))
        ]

    def plan(self) -> list[PlannedShard]:
        """Plan shards of layers of all networks; the unit of work is layers."""
        drawn = range_shards("draw", CPU, cut(len(self.all_layers()), self.shards))
        return [*drawn, PlannedShard("finish", CPU, {}, 1)]
