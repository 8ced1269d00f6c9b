"""Asynchronous reading of what a device computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

import numpy as np
import torch

BEHIND = 4  # batches whose scalars may still be unread on a GPU

Note = TypeVar("Note")


class Reading:
    """A tensor that is being copied from a GPU, or that is on the CPU already."""

    def __init__(self, values: torch.Tensor) -> None:
        self._copied: torch.cuda.Event | None = None
        if values.is_cuda:
            copied = torch.cuda.Event(blocking=True)  # sleep instead of spinning: other threads need the core
            device, values = values.device, values.to("cpu", non_blocking=True)  # into pinned memory
            copied.record(torch.cuda.current_stream(device))
            self._copied = copied
        self._values = values

    def array(self) -> np.ndarray:
        """Wait for the copy, and return the values with the tensor's shape and memory format."""
        if self._copied is None:
            return self._values.numpy()
        self._copied.synchronize()
        return self._values.numpy().copy(order="K")  # pinned memory is scarce, and is used again


class Readings(Generic[Note]):
    """Queue of the scalars of each batch, each entry with a note of the caller's.

    Reading a scalar of a GPU blocks until all work queued before it is done, and leaves the GPU idle afterwards.
    Scalars are therefore read ``BEHIND`` batches late on a GPU, and immediately on a CPU.
    """

    def __init__(self, device: torch.device) -> None:
        self._behind = BEHIND if device.type == "cuda" else 0
        self._queued: deque[tuple[Reading, Note]] = deque()

    def add(self, values: Sequence[torch.Tensor], note: Note) -> Iterator[tuple[list[float], Note]]:
        """Queue a batch's scalars (0-dimensional tensors); iterate over the entries that are due, in order."""
        together = torch.stack([value.double() for value in values])
        self._queued.append((Reading(together), note))
        return self._read(self._behind)

    def rest(self) -> Iterator[tuple[list[float], Note]]:
        """Iterate over all remaining entries, in order."""
        return self._read(0)

    def _read(self, left: int) -> Iterator[tuple[list[float], Note]]:
        while len(self._queued) > left:
            reading, note = self._queued.popleft()
            yield reading.array().tolist(), note
