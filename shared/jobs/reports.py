"""Reports of a worker's processes to their supervisor: lines of JSON in a pipe.

The supervisor alone writes to the table ``workers``. The worker's main process has no connection to the database,
which its child would inherit.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum

PIPE = "ANALYZE_SUPERVISOR_PIPE"  # variable with the number of the pipe's file descriptor
LONGEST_DETAIL = 300  # characters: a line must fit into PIPE_BUF, so that it is written at once


class Kind(StrEnum):
    """What a worker reports."""

    BEAT = "beat"  # its event loop runs, and it is connected to Redis
    RAN = "ran"  # the child can use its device, and has dealt with a message
    UNUSABLE = "unusable"  # the child can't use its device or load its code, and exits
    LOST = "lost"  # the child died while it ran a shard


@dataclass(frozen=True)
class Report:
    """A report, made at the time ``at`` (seconds since 1970)."""

    kind: Kind
    detail: str
    at: float


def send(kind: Kind, detail: str = "") -> None:
    """Send a report, if this process has a supervisor. Never waits: a report is lost if the pipe is full."""
    if pipe := os.environ.get(PIPE):
        line = json.dumps(asdict(Report(kind, detail[:LONGEST_DETAIL], time.time()))) + "\n"
        with suppress(OSError, ValueError):
            os.write(int(pipe), line.encode())


class Reader:
    """Reads reports from a pipe that doesn't block."""

    def __init__(self, pipe: int) -> None:
        self.pipe = pipe
        self._rest = b""

    def read(self) -> Iterator[Report]:
        """Yield the reports that have arrived; lines that are not reports are skipped."""
        with suppress(BlockingIOError):
            while data := os.read(self.pipe, 65536):
                self._rest += data
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            with suppress(ValueError, TypeError, KeyError):
                found = json.loads(line)
                yield Report(Kind(found["kind"]), str(found["detail"]), float(found["at"]))

    def close(self) -> None:
        os.close(self.pipe)
