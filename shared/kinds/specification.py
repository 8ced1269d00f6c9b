"""What every job specification has: a key that identifies its result, and a plan."""

from __future__ import annotations

import hashlib
import itertools
import json
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict

# The queues: a worker takes from one or several.
TRAINING = "training"
ANALYSIS = "analysis"  # wants a GPU where there is one
CPU = "cpu"
QUEUES = (TRAINING, ANALYSIS, CPU)


class PlannedShard(NamedTuple):
    """A shard to be: its stage, its payload and how much work it is."""

    stage: str
    queue: str
    payload: dict[str, Any]
    work: int


class Specification(BaseModel, ABC):
    """All that a job's result depends on, and a few things it doesn't (``not_in_key``)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str]
    # Raise it with every change of the computing code that can change a result.
    version: ClassVar[int]
    not_in_key: ClassVar[frozenset[str]]

    dataset_id: int
    dataset_fingerprint: str

    def key(self) -> str:
        """SHA-256 of kind, version of the computing code and parameters: equal keys, equal results."""
        parameters = self.model_dump(mode="json", exclude={"dataset_id", *self.not_in_key})
        canonical = json.dumps([self.kind, self.version, parameters], sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()

    @abstractmethod
    def plan(self) -> list[PlannedShard]:
        """The shards, stage by stage; a stage begins when the one before is done."""


def cut(count: int, pieces: int) -> list[tuple[int, int]]:
    """Cut range(count) into at most ``pieces`` ranges (start, stop) of nearly equal length, none empty."""
    pieces = max(1, min(pieces, count))
    bounds = [count * piece // pieces for piece in range(pieces + 1)]
    return list(itertools.pairwise(bounds))
