"""Measurement of the stages of a kind of job on this machine, for ``analyze submit --dry-run``."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from sqlalchemy.orm import Session

from shared.store.store import Store
from worker.context import JobContext
from worker.runner import ShardContext


@dataclass(frozen=True)
class Measured:
    """Seconds for each unit of a stage's work, and once before the first one; by stage.

    ``details`` are lines of text about the computation, by title.
    """

    seconds: dict[str, float]
    before: dict[str, float] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)


class Rehearsal(ShardContext):
    """A shard that is computed to be measured: it writes no rows, and files only to a temporary store."""

    def __init__(self, context: JobContext, folder: Path, payload: dict[str, Any]) -> None:
        JobContext.__init__(
            self,
            context.job_id,
            context.specification,
            context.database,
            Store(folder),
            context.device,
            user_networks=context.user_networks,
        )
        self.payload, self.work_done = payload, 0

    def progress(self, work: int = 1) -> None:
        self.work_done += work

    def resume(self, work: int) -> None:
        """Ignore it."""

    def record(self, write: Callable[[Session], None], *, locks_job: bool = False) -> None:
        """Write nothing."""

    def complete(self, write: Callable[[Session], None] | None = None, result_path: str | None = None) -> None:
        """Write nothing."""

    def log(self, level: str, message: str) -> None:
        """Log nothing."""


def now(device: torch.device) -> float:
    """Return the time in seconds after waiting for all work on the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Return the seconds that a call takes on the device."""
    start = now(device)
    work()
    return now(device) - start
