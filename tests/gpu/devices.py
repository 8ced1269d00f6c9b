"""Devices to test on, and what they have in common with a limited one."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import TypeVar

import torch

from tests.pretended_device import PretendedDevice

Size = TypeVar("Size")

REASON = "left out: there is no CUDA device"


class Device:
    """A device for as long as a test takes."""

    def __init__(self, device: torch.device, pretended: PretendedDevice | None) -> None:
        self.device, self.pretended = device, pretended
        self._stack = ExitStack()

    def __enter__(self) -> Device:
        if self.pretended is not None:
            self._stack.enter_context(self.pretended)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, value, trace)
        if self.device.type == "cuda" and torch.cuda.is_available():
            gc.collect()
            torch.cuda.empty_cache()

    def scaled(self, small: Size, large: Size) -> Size:
        """``large`` on a real device."""
        return large if self.pretended is None else small

    @contextmanager
    def measured(self) -> Iterator[Peak]:
        """Bytes that are allocated, and reserved, at once within, beyond what there was before."""
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        peak = Peak(torch.cuda.memory_allocated(), torch.cuda.memory_reserved())
        yield peak
        peak.allocated = torch.cuda.max_memory_allocated() - peak.allocated
        peak.reserved = torch.cuda.max_memory_reserved() - peak.reserved

    @contextmanager
    def limited(self, more: float) -> Iterator[None]:
        """Within, the process gets so many bytes beyond those that it has."""
        gc.collect()
        torch.cuda.empty_cache()
        limit = torch.cuda.memory_reserved() + int(more)
        if self.pretended is not None:
            self.pretended.limit = limit
        else:
            _, total = torch.cuda.mem_get_info()
            torch.cuda.set_per_process_memory_fraction(limit / total)
        try:
            yield
        finally:
            if self.pretended is not None:
                self.pretended.limit = None
            else:
                torch.cuda.set_per_process_memory_fraction(1.0)


class Peak:
    """See ``Device.measured``."""

    def __init__(self, allocated: int, reserved: int) -> None:
        self.allocated, self.reserved = allocated, reserved
