"""Out-of-memory errors, and the batch size to use after one."""

from __future__ import annotations

import torch

# Messages of the CPU allocator, and of CUDA libraries, which allocate memory themselves. cuDNN skips algorithms
# whose workspace doesn't fit; the last message is raised when no algorithm is left.
WORDS = (
    "can't allocate memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "unable to find an engine to execute this computation",
)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an error reports that memory could not be allocated, by its type or its message."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in WORDS)


def halved(at_once: int, device: torch.device) -> int:
    """Return half of ``at_once``, the number of images per batch, and release the GPU's cached memory."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return at_once // 2
