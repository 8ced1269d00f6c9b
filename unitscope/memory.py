"""When a device's memory is too small for a batch."""

from __future__ import annotations

import torch


def is_out_of_memory(error: RuntimeError) -> bool:
    """A GPU's own error, or the words of the CPU's allocator."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def halved(at_once: int, device: torch.device) -> int:
    """How many images to run at once instead of ``at_once``; what was left of these is given back."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return at_once // 2
