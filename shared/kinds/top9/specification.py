"""The top-9 search (paper, Fig. 2): for every unit the images with the strongest activations, projected to pixels.

Four stages: *search* (shards of images), *select* (one shard, which merges), *project* (shards of units)
and *finish* (one shard, which draws the contact sheets).
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from shared.kinds.specification import ANALYSIS, CPU, PlannedShard, Specification, batch_ranges, cut, range_shards
from unitscope.description import NetworkSpecification
from unitscope.layers.forms import LayerForm
from unitscope.vocabulary import Distinct, ProjectionMethod, Screen

SEARCH_BATCH = 32  # images of every forward pass of the search, and shards start at multiples of it
LEAST_SHARDS = 8  # of a search, if the request doesn't name their number
UNITS_OF_SHARD = 128  # and of a layer: a shard computes the forward passes of its images again


class SearchedLayerSpecification(BaseModel):
    """A layer to search, and its units.

    The later fields are not in the key where they are None, so that it is that of earlier versions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    layer: str
    path: str
    units: list[int] = Field(min_length=1)
    # Of its output; None: maps [N, C, H, W], as of all convolutions.
    form: LayerForm | None = Field(default=None, exclude_if=lambda form: form is None)
    # None: that of the search.
    projection: ProjectionMethod | None = Field(default=None, exclude_if=lambda method: method is None)


class Top9Specification(Specification):
    """A top-9 search."""

    kind: ClassVar[str] = "top9"
    version: ClassVar[int] = 2
    not_in_key: ClassVar[frozenset[str]] = frozenset(
        {"shards", "units_of_shard", "weights_path", "training_job_id"}
    )

    split: str
    image_count: int = Field(ge=1)
    network: NetworkSpecification
    weights_sha256: str
    weights_path: str  # in the artifact store
    training_job_id: int | None
    layers: list[SearchedLayerSpecification] = Field(min_length=1)
    top: int = Field(default=9, ge=1, le=100)
    bottom: bool = False  # also find the images with the lowest spatial minimum
    per_class: bool = False  # also find the top images of each class
    projection: ProjectionMethod | None = "deconvnet"  # None: no projections, and no pictures
    # Not in the key of a search without it, so that it is that of earlier versions.
    screen: Screen | None = Field(default=None, exclude_if=lambda screen: screen is None)
    # Keep the maxima of all images, for `analyze find`. In the key of a search that doesn't.
    maxima: bool = Field(default=True, exclude_if=lambda kept: kept)
    # List only one of the images of a file ("files"), or also of near-duplicates ("near"), if all images have a
    # perceptual hash. In the key of a search that has it.
    distinct: Distinct | None = Field(default=None, exclude_if=lambda distinct: distinct is None)
    shards: int = Field(default=LEAST_SHARDS, ge=1, le=100_000)
    units_of_shard: int | None = Field(default=None, ge=1)  # of project shards, at most; None: by ``shards``

    def method_of(self, layer: SearchedLayerSpecification) -> ProjectionMethod | None:
        """Return the projection method of a layer; None for no projections."""
        return self.projection and (layer.projection or self.projection)

    @property
    def forms(self) -> dict[str, LayerForm]:
        """Forms of the layers' outputs by module path, without those of maps [N, C, H, W]."""
        return {layer.path: layer.form for layer in self.layers if layer.form}

    def plan(self) -> list[PlannedShard]:
        """Plan search shards that start at multiples of the batch size, and project shards of one layer each."""
        shards = range_shards("search", ANALYSIS, batch_ranges(self.image_count, SEARCH_BATCH, self.shards))
        shards.append(PlannedShard("select", CPU, {}, 1))
        for number, layer in enumerate(self.layers if self.projection else ()):
            count = -(-len(layer.units) // self.units_of_shard) if self.units_of_shard else self.shards
            for start, stop in cut(len(layer.units), count):
                payload = {"layer": number, "units": layer.units[start:stop]}
                shards.append(PlannedShard("project", ANALYSIS, payload, stop - start))
        shards.append(PlannedShard("finish", CPU, {}, len(self.layers)))
        return shards
