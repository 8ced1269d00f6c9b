"""Numbers that the device works out, read while it is busy with later batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

import torch

BEHIND = 4  # batches on a GPU whose numbers may be on their way

Note = TypeVar("Note")


class Readings(Generic[Note]):
    """The numbers of each batch, with whatever is noted beside them.

    To read a number of a GPU one waits for all that was queued before it, and then the GPU waits for Python. So it
    is read ``BEHIND`` batches later; on a CPU at once.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self._on_gpu = device, device.type == "cuda"
        self._queued: deque[tuple[torch.Tensor, torch.cuda.Event | None, Note]] = deque()

    def add(self, values: Sequence[torch.Tensor], note: Note) -> Iterator[tuple[list[float], Note]]:
        """Queue the numbers of a batch, tensors of no dimension; gives those whose turn it is, in order."""
        together = torch.stack([value.double() for value in values])
        copied = None
        if self._on_gpu:
            together = together.to("cpu", non_blocking=True)  # into pinned memory
            copied = torch.cuda.Event(blocking=True)
            copied.record(torch.cuda.current_stream(self.device))
        self._queued.append((together, copied, note))
        return self._read(BEHIND if self._on_gpu else 0)

    def rest(self) -> Iterator[tuple[list[float], Note]]:
        """All that were not given yet."""
        return self._read(0)

    def _read(self, left: int) -> Iterator[tuple[list[float], Note]]:
        while len(self._queued) > left:
            values, copied, note = self._queued.popleft()
            if copied is not None:
                copied.synchronize()
            yield values.tolist(), note
