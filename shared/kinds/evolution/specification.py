"""The evolution of units during training (paper, Fig. 4): their strongest activations at each kept epoch of a run.

Four stages: *search* (shards of images, for each epoch), *select* (one shard, which merges), *project* (shards of
units, for each epoch) and *finish* (one shard, which draws the figure and the curve).
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.kinds.specification import ANALYSIS, CPU, PlannedShard, Specification, batch_ranges, cut, range_shards
from unitscope.description import NetworkSpecification
from unitscope.vocabulary import ProjectionMethod

SEARCH_BATCH = 32  # images of every forward pass of the search, and shards start at multiples of it
PAPER_UNITS = 6  # of each layer, in Fig. 4
LEAST_SHARDS = 4  # of each epoch, if the request doesn't name their number
UNITS_OF_SHARD = 8  # at least, where there are more project shards of an epoch than that


class KeptCheckpoint(BaseModel):
    """Weights that a training run kept after an epoch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epoch: int = Field(ge=1)
    weights_sha256: str
    weights_path: str  # in the artifact store


class EvolvingLayer(BaseModel):
    """A layer to search, and the units to draw; None: ``draw`` units, chosen at random."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layer: str
    path: str
    units: int = Field(ge=1, le=100_000, description="number of the layer's units, which are all searched")
    drawn: list[int] | None = None

    @model_validator(mode="after")
    def _check(self) -> EvolvingLayer:
        drawn = self.drawn or []
        if drawn != sorted(set(drawn)) or any(unit not in range(self.units) for unit in drawn):
            raise ValueError("the drawn units are not units of the layer in ascending order")
        return self


class EvolutionSpecification(Specification):
    """The evolution of the units of some layers."""

    kind: ClassVar[str] = "evolution"
    version: ClassVar[int] = 1
    not_in_key: ClassVar[frozenset[str]] = frozenset({"shards", "training_job_id"})

    split: str
    image_count: int = Field(ge=1)
    # If the run was trained on a part of the split: number of images of each class, and the run's seed.
    per_class: int | None = Field(default=None, ge=1)
    sampling_seed: int | None = Field(default=None, ge=0, lt=2**63)
    network: NetworkSpecification
    checkpoints: list[KeptCheckpoint] = Field(min_length=2, max_length=10_000)
    training_job_id: int | None
    layers: list[EvolvingLayer] = Field(min_length=1)
    draw: int = Field(default=PAPER_UNITS, ge=0, le=100_000)
    seed: int = Field(default=0, ge=0, lt=2**63, description="seed of the choice of drawn units")
    projection: ProjectionMethod = "deconvnet"
    shards: int = Field(default=LEAST_SHARDS, ge=1, le=100_000, description="shards of each epoch")

    @model_validator(mode="after")
    def _check(self) -> EvolutionSpecification:
        epochs = [checkpoint.epoch for checkpoint in self.checkpoints]
        if epochs != sorted(set(epochs)):
            raise ValueError("the epochs are not in ascending order")
        if len({layer.path for layer in self.layers}) < len(self.layers):
            raise ValueError("a layer is listed twice")
        if (self.per_class is None) != (self.sampling_seed is None):
            raise ValueError("a part of the split needs both per_class and sampling_seed")
        return self

    @property
    def epochs(self) -> list[int]:
        """The epochs, in ascending order."""
        return [checkpoint.epoch for checkpoint in self.checkpoints]

    def drawn_count(self, layer: EvolvingLayer) -> int:
        """Return the number of units of a layer that are drawn."""
        return min(self.draw, layer.units) if layer.drawn is None else len(layer.drawn)

    def plan(self) -> list[PlannedShard]:
        """Plan shards of one epoch each. Those of *search* start at multiples of the batch size; those of
        *project* number the drawn units of all layers."""
        checkpoints = range(len(self.checkpoints))
        images = batch_ranges(self.image_count, SEARCH_BATCH, self.shards)
        shards = []
        for checkpoint in checkpoints:
            shards += range_shards("search", ANALYSIS, images, checkpoint=checkpoint)
        shards.append(PlannedShard("select", CPU, {}, 1))
        drawn = sum(self.drawn_count(layer) for layer in self.layers)
        most = max(LEAST_SHARDS, -(-drawn // UNITS_OF_SHARD))
        units = cut(drawn, min(self.shards, most)) if drawn else []
        for checkpoint in checkpoints:
            shards += range_shards("project", ANALYSIS, units, checkpoint=checkpoint)
        shards.append(PlannedShard("finish", CPU, {}, len(self.layers)))
        return shards
