"""Feature maps of images, in every layer of a network.

Two stages: *extract* (shards of images: numbers, pictures, on request arrays) and *finish* (one shard: the sheet).
"""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.kinds.specification import ANALYSIS, CPU, PlannedShard, Specification, image_ranges, range_shards
from unitscope.description import NetworkSpecification
from unitscope.vocabulary import Scale


class ShownLayer(BaseModel):
    """A run of a layer that outputs maps; ``channels``: its channels are drawn one by one, too."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layer: str
    path: str
    call: int = Field(ge=1, description="number of the module's run in a forward pass")
    kind: str
    channels: bool = False

    @property
    def title(self) -> str:
        """The layer in pictures: its name, or its module path and kind, and the number of its run."""
        again = f" ({self.call})" if self.call > 1 else ""
        return self.layer if self.layer != self.path else f"{self.path} {self.kind}{again}"


class ImageFile(BaseModel):
    """An image file that was copied to the artifact store; it belongs to no data set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str  # the path that was given
    path: str  # in the artifact store
    sha256: str


class FeaturesSpecification(Specification):
    """The feature maps of images of a data set and of files."""

    kind: ClassVar[str] = "features"
    version: ClassVar[int] = 1
    not_in_key: ClassVar[frozenset[str]] = frozenset({"split", "shards", "weights_path", "training_job_id"})

    split: str | None  # from which the images were chosen
    # Positions of the images in their data set, in the order of ids: unlike ids, the same in every database.
    images: list[int]
    files: list[ImageFile] = Field(default=[])
    whole_files: bool = False  # whole files of the data set instead of the objects' boxes
    network: NetworkSpecification
    weights_sha256: str
    weights_path: str  # in the artifact store
    training_job_id: int | None
    layers: list[ShownLayer] = Field(min_length=1)  # in execution order
    scale: Scale = "own"
    arrays: bool = False  # also store the maps of the layers with ``channels``
    shards: int | None = Field(default=None, ge=1, le=100_000, description="None: one for every 8 images")

    @model_validator(mode="after")
    def _has_images(self) -> Self:
        if not self.image_count:
            raise ValueError("there are no images")
        return self

    @property
    def image_count(self) -> int:
        """Number of images of the data set, and then of files."""
        return len(self.images) + len(self.files)

    def plan(self) -> list[PlannedShard]:
        """Plan shards of images; the unit of work is images."""
        extracted = range_shards("extract", ANALYSIS, image_ranges(self.image_count, self.shards))
        return [*extracted, PlannedShard("finish", CPU, {}, 1)]
