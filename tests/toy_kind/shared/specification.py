"""Specification of a brightness job."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from shared.kinds.specification import CPU, PlannedShard, Specification, cut


class BrightnessSpecification(Specification):
    """Two stages: *measure* (shards of images) and *finish* (one shard: the means by class)."""

    kind: ClassVar[str] = "brightness"
    version: ClassVar[int] = 1
    not_in_key: ClassVar[frozenset[str]] = frozenset({"shards"})

    split: str
    image_count: int = Field(ge=1)
    shards: int = Field(default=4, ge=1)

    def plan(self) -> list[PlannedShard]:
        """Plan shards of images; work is counted in images."""
        measured = [
            PlannedShard("measure", CPU, {"start": start, "stop": stop}, stop - start)
            for start, stop in cut(self.image_count, self.shards)
        ]
        return [*measured, PlannedShard("finish", CPU, {}, 1)]
