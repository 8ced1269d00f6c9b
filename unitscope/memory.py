"""When a device's memory is too small for a batch."""

from __future__ import annotations

import torch

# How the CPU's allocator says it, and CUDA's libraries, which ask for memory of their own. cuDNN passes over every
# algorithm whose workspace doesn't fit, and at the end says that there is none.
WORDS = (
    "can't allocate memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "unable to find an engine to execute this computation",
)


def is_out_of_memory(error: RuntimeError) -> bool:
    """PyTorch's own error, or the words of an allocator or a library below it."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in WORDS)


def halved(at_once: int, device: torch.device) -> int:
    """How many images to run at once instead of ``at_once``; what was left of these is given back."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return at_once // 2
