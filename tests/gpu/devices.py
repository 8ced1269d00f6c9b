"""Fake and real CUDA devices for tests, with methods to measure and limit their memory."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import TypeVar

import torch

from tests.fake_cuda import FakeCuda

Size = TypeVar("Size")

REASON = "there is no CUDA device"


class Device:
    """A CUDA device for one test; ``fake_cuda`` is None for a real device."""

    def __init__(self, device: torch.device, fake_cuda: FakeCuda | None) -> None:
        self.device, self.fake_cuda = device, fake_cuda
        self._stack = ExitStack()

    def __enter__(self) -> Device:
        if self.fake_cuda is not None:
            self._stack.enter_context(self.fake_cuda)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, value, trace)
        if self.device.type == "cuda" and torch.cuda.is_available():
            gc.collect()
            torch.cuda.empty_cache()

    def scaled(self, small: Size, large: Size) -> Size:
        """Return ``large`` on a real device and ``small`` on the fake one."""
        return large if self.fake_cuda is None else small

    @contextmanager
    def measured(self) -> Iterator[Peak]:
        """Measure the peak of allocated and reserved bytes in the ``with`` block, beyond those at its start."""
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        peak = Peak(torch.cuda.memory_allocated(), torch.cuda.memory_reserved())
        yield peak
        peak.allocated = torch.cuda.max_memory_allocated() - peak.allocated
        peak.reserved = torch.cuda.max_memory_reserved() - peak.reserved

    @contextmanager
    def limited(self, additional: float) -> Iterator[None]:
        """Limit the process to ``additional`` bytes beyond those reserved now."""
        gc.collect()
        torch.cuda.empty_cache()
        limit = torch.cuda.memory_reserved() + int(additional)
        if self.fake_cuda is not None:
            self.fake_cuda.limit = limit
        else:
            _, total = torch.cuda.mem_get_info()
            torch.cuda.set_per_process_memory_fraction(limit / total)
        try:
            yield
        finally:
            if self.fake_cuda is not None:
                self.fake_cuda.limit = None
            else:
                torch.cuda.set_per_process_memory_fraction(1.0)


# Shares of a peak of reserved memory to which tests limit a process. With a little less memory than before, cuDNN
# still succeeds, with algorithms that need smaller workspaces.
SHARES = [percent / 100 for percent in range(90, 10, -5)]


class Peak:
    """The result of ``Device.measured``."""

    def __init__(self, allocated: int, reserved: int) -> None:
        self.allocated, self.reserved = allocated, reserved
