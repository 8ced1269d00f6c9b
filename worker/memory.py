"""Memory that a worker process keeps between shards, and when it is returned."""

from __future__ import annotations

import ctypes
import gc
import os
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch

IDLE_SECONDS = 1.0
GROWTH = 1.1  # of the memory after the first shard

_STATM = Path("/proc/self/statm")  # Linux


class KeptMemory:
    """Keeps freed memory for the next shard, which usually needs blocks of the same sizes: taking them from the
    system again costs a twelfth of a shard of 133 images.

    It is returned to the system, and to other processes that use the GPU, when no shard has run for
    ``IDLE_SECONDS``, and when the process has grown by more than ``GROWTH``. Where sizes change from shard to
    shard, as with the layer, freed blocks don't fit, and a process would come to hold more than twice the memory
    that it uses.
    """

    def __init__(self) -> None:
        self._first: int | None = None  # bytes after the first shard since memory was returned
        self._idle: threading.Timer | None = None
        self._due = False

    def shard_begins(self) -> None:
        if self._idle is not None:
            self._idle.cancel()

    def return_after_shard(self) -> None:
        """Return memory when the shard has ended: it ran out of memory, of which another process may need some."""
        self._due = True

    def shard_ended(self) -> None:
        held = held_bytes()
        if self._due:
            self._release()
        elif self._first is None:
            self._first = held
        elif held > GROWTH * self._first:
            self._release()
        self._idle = threading.Timer(IDLE_SECONDS, self._release)
        self._idle.daemon = True
        self._idle.start()

    def _release(self) -> None:
        self._first, self._due = None, False
        release_memory()


def held_bytes() -> int:
    """Return the bytes that this process holds in memory (on Linux) and on its GPU."""
    resident = int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if _STATM.is_file() else 0
    return resident + (torch.cuda.memory_reserved() if torch.cuda.is_initialized() else 0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    """Return glibc's ``malloc_trim``, or None for another C library."""
    trim: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim


def release_memory() -> None:
    """Return unused memory to the operating system, and unused GPU memory to other processes."""
    if torch.cuda.is_initialized():
        gc.collect()  # an optimizer and its scheduler form a reference cycle, which would keep them on the GPU
        torch.cuda.empty_cache()
    trim = _malloc_trim()
    if trim:
        trim(0)
