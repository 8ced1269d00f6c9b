"""Memory of a worker process between two shards."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from functools import cache

import torch


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    """glibc's own; None where the C library is another."""
    trim: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim


def give_back() -> None:
    """Give the memory that nothing uses back to the kernel, and that of a GPU to other processes.

    Within a shard a worker keeps what it had (``producer.service.supervisor.MALLOC``): its batches are alike.
    From shard to shard the shapes change with the layer, and what one has left doesn't fit the next: without this
    a worker holds more than twice the memory that it uses after 1,000 shards. It takes some milliseconds.
    """
    if torch.cuda.is_initialized():
        gc.collect()  # an optimizer and its schedule refer to one another, and so would stay on the GPU
        torch.cuda.empty_cache()
    trim = _malloc_trim()
    if trim:
        trim(0)
