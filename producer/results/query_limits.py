"""The last bounds of a query of a stranger: the ones that hold where the database's own don't."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

MEMORY = 4 * 2**30  # bytes beyond what the process has


@contextmanager
def bounded_time(seconds: float, words: str) -> Iterator[None]:
    """End the process, with ``words`` on stderr and exit code 2, if what is inside takes longer.

    SQLite can be stopped between two steps of its program only, and a single one, such as ``instr`` on two long
    texts, may take hours, in which Ctrl+C isn't heard either.
    """

    def end() -> None:
        os.write(2, f"{words}\n".encode(errors="backslashreplace"))
        os._exit(2)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def bounded_memory() -> Iterator[None]:
    """Let what is inside take so much memory and no more: the rest is a ``MemoryError``. On Linux only."""
    status = Path("/proc/self/status")
    taken = re.search(r"VmData:\s+(\d+) kB", status.read_text()) if status.is_file() else None
    if taken is None or resource is None:
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = int(taken[1]) * 1024 + MEMORY
    allowed = [limit for limit in (wanted, *before) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(allowed), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
