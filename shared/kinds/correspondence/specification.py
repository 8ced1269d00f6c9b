"""Correspondence of parts between images (paper, Table 1).

Two stages: *mask* (shards of images: signs of the changes of features) and *compare* (one shard: all pairs of
images, and the figure).
"""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.kinds.specification import ANALYSIS, CPU, PlannedShard, Specification, image_ranges, range_shards
from unitscope.description import NetworkSpecification
from unitscope.features.choice import FeatureLayer
from unitscope.vocabulary import MaskFill

Box = tuple[int, int, int, int]


class PartOfImage(BaseModel):
    """The boxes of a part in an image, which are masked together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: int  # position of the image in its data set
    part: str
    boxes: list[Box] = Field(min_length=1)  # left, top, right, bottom in pixels of the network's input, exclusive


class SkippedPart(BaseModel):
    """A part that is not masked, and the reason."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str  # of the image, relative to the data set's root
    object_number: int
    part: str
    reason: str


class CorrespondenceSpecification(Specification):
    """Parts of images to mask, and the layers whose features are compared."""

    kind: ClassVar[str] = "correspondence"
    version: ClassVar[int] = 1
    not_in_key: ClassVar[frozenset[str]] = frozenset(
        {"split", "boxes_from", "skipped", "shards", "weights_path", "training_job_id"}
    )

    split: str | None  # from which the images were chosen
    boxes_from: str  # name of the file of boxes, or "annotations"
    # Positions of the images in their data set, in the order of ids: unlike ids, the same in every database.
    images: list[int] = Field(min_length=2)
    whole_files: bool = False  # use whole files instead of the objects' boxes
    network: NetworkSpecification
    weights_sha256: str
    weights_path: str  # in the artifact store
    training_job_id: int | None
    layers: list[FeatureLayer] = Field(min_length=1)
    parts: list[str] = Field(min_length=1)
    masks: list[PartOfImage]
    skipped: list[SkippedPart]
    draws: int = Field(ge=1, description="random masks for each image and part")
    fill: MaskFill = "grey"
    seed: int = Field(default=0, ge=0, lt=2**63, description="seed of the random masks, and of the noise")
    shards: int | None = Field(default=None, ge=1, le=100_000, description="None: one for every 8 images")

    @model_validator(mode="after")
    def _boxes_are_inside(self) -> Self:
        size = self.network.image_size
        for mask in self.masks:
            for left, top, right, bottom in mask.boxes:
                if not (0 <= left < right <= size and 0 <= top < bottom <= size):
                    raise ValueError(f"the box {left}, {top}, {right}, {bottom} is not inside of the input")
        return self

    def boxes_of(self, image: int) -> dict[str, list[Box]]:
        """Return the boxes of the parts of an image, which is given by its position in the data set."""
        return {mask.part: mask.boxes for mask in self.masks if mask.image == image}

    def plan(self) -> list[PlannedShard]:
        """Plan shards of images; the unit of work is images."""
        return [
            *range_shards("mask", ANALYSIS, image_ranges(len(self.images), self.shards)),
            PlannedShard("compare", CPU, {}, len(self.parts) * len(self.layers) * (self.draws + 1)),
        ]
