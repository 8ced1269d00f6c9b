"""Asynchronous reading of scalars that a device computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

import torch

BEHIND = 4  # batches whose scalars may still be unread on a GPU

Note = TypeVar("Note")


class Readings(Generic[Note]):
    """Queue of the scalars of each batch, each entry with a note of the caller's.

    Reading a scalar of a GPU blocks until all work queued before it is done, and leaves the GPU idle afterwards.
    Scalars are therefore read ``BEHIND`` batches late on a GPU, and immediately on a CPU.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self._on_gpu = device, device.type == "cuda"
        self._queued: deque[tuple[torch.Tensor, torch.cuda.Event | None, Note]] = deque()

    def add(self, values: Sequence[torch.Tensor], note: Note) -> Iterator[tuple[list[float], Note]]:
        """Queue a batch's scalars (0-dimensional tensors); iterate over the entries that are due, in order."""
        together = torch.stack([value.double() for value in values])
        copied = None
        if self._on_gpu:
            together = together.to("cpu", non_blocking=True)  # into pinned memory
            copied = torch.cuda.Event(blocking=True)
            copied.record(torch.cuda.current_stream(self.device))
        self._queued.append((together, copied, note))
        return self._read(BEHIND if self._on_gpu else 0)

    def rest(self) -> Iterator[tuple[list[float], Note]]:
        """Iterate over all remaining entries, in order."""
        return self._read(0)

    def _read(self, left: int) -> Iterator[tuple[list[float], Note]]:
        while len(self._queued) > left:
            values, copied, note = self._queued.popleft()
            if copied is not None:
                copied.synchronize()
            yield values.tolist(), note
