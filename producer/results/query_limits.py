"""Limits on user queries that the database itself does not enforce."""

from __future__ import annotations

import os
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

TEMPORARY_ROWS = 500_000_000  # bytes, for all that a query sorts, groups, or stores
MEMORY = 4 * 2**30  # bytes, in addition to the memory that the process has already


@contextmanager
def time_limit(seconds: float, message: str) -> Iterator[None]:
    """End the process, with ``message`` on stderr and exit code 2, if the block takes longer than ``seconds``.

    SQLite can be interrupted only between two steps of its bytecode program. A single step, such as ``instr`` on
    two long texts, can take hours, during which Ctrl+C has no effect either.
    """

    def end() -> None:
        with suppress(OSError):  # stderr is closed, or its disk is full
            os.write(2, f"{message}\n".encode(errors="backslashreplace"))
        os._exit(2)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def memory_limit() -> Iterator[None]:
    """Raise ``MemoryError`` if the block allocates more than ``MEMORY`` bytes (on Linux only)."""
    status = Path("/proc/self/status")
    allocated = re.search(r"VmData:\s+(\d+) kB", status.read_text()) if status.is_file() else None
    if allocated is None or resource is None:
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_DATA)
    limits = [limit for limit in (int(allocated[1]) * 1024 + MEMORY, *before) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(limits), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def keep_temporary_rows_in_memory(connection: sqlite3.Connection) -> None:
    """Let the queries of a SQLite connection write no temporary files, and use ``TEMPORARY_ROWS`` bytes of memory.

    SQLite has no limit for its temporary files, and the system only one for each of them. ``MemoryError`` is
    raised above the limit. It counts all memory of SQLite in this process, and can't be raised again.
    """
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute(f"PRAGMA hard_heap_limit = {TEMPORARY_ROWS}")
