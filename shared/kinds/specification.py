"""The base of all job specifications: a key that identifies the result, and a plan of shards."""

from __future__ import annotations

import hashlib
import itertools
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict

# The queues; a worker consumes one or several.
TRAINING = "training"
ANALYSIS = "analysis"  # should run on a GPU if there is one
CPU = "cpu"
QUEUES = (TRAINING, ANALYSIS, CPU)

IMAGES_OF_SHARD = 8  # by default, of kinds that take seconds for an image


class PlannedShard(NamedTuple):
    """A shard to insert: stage, queue, payload and amount of work."""

    stage: str
    queue: str
    payload: dict[str, Any]
    work: int


class TimeSlice(NamedTuple):
    """How long a shard runs before other work gets its turn, and the work between two moments at which it can
    pause."""

    seconds: float
    work: int


class Specification(BaseModel, ABC):
    """The parameters of a job: those that its result depends on, and those that it doesn't (``not_in_key``)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str]
    # Increment it with every change of the code that can change a result.
    version: ClassVar[int]
    not_in_key: ClassVar[frozenset[str]]

    dataset_id: int
    dataset_fingerprint: str

    def key(self) -> str:
        """Return the SHA-256 of kind, version and parameters; jobs with equal keys have equal results."""
        parameters = self.model_dump(mode="json", exclude={"dataset_id", *self.not_in_key})
        canonical = json.dumps([self.kind, self.version, parameters], sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def time_slice(self) -> TimeSlice | None:
        """The time slice of its shards; None if they can't pause."""
        return None

    @abstractmethod
    def plan(self) -> list[PlannedShard]:
        """Return the shards, stage by stage; a stage starts when the previous one is done."""


def cut(count: int, pieces: int) -> list[tuple[int, int]]:
    """Split range(count) into at most ``pieces`` non-empty ranges (start, stop) of nearly equal length."""
    pieces = max(1, min(pieces, count))
    bounds = [count * piece // pieces for piece in range(pieces + 1)]
    return list(itertools.pairwise(bounds))


def image_ranges(images: int, shards: int | None) -> list[tuple[int, int]]:
    """Split images into ``shards`` ranges (start, stop); None: one for every 8 images."""
    return cut(images, shards or -(-images // IMAGES_OF_SHARD))


def batch_ranges(images: int, batch: int, shards: int) -> list[tuple[int, int]]:
    """Split images into ranges (start, stop) that start at multiples of the batch size.

    The last bits of an activation can depend on the batch, so that rows then don't depend on the number of shards.
    """
    return [(first * batch, min(last * batch, images)) for first, last in cut(-(-images // batch), shards)]


def range_shards(
    stage: str, queue: str, ranges: Sequence[tuple[int, int]], **payload: int | str
) -> list[PlannedShard]:
    """Plan a shard for each range, whose length is its work; ``start`` and ``stop`` are added to the payload."""
    return [
        PlannedShard(stage, queue, {**payload, "start": start, "stop": stop}, stop - start)
        for start, stop in ranges
    ]
