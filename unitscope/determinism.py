"""Deterministic training on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

# PyTorch warns of these operations, but they are deterministic for channels-last tensors: see
# ``worker.arithmetic.configure_determinism``.
FIXED_ORDER = r"(adaptive_avg_pool2d|avg_pool3d)_backward_cuda does not have a deterministic implementation"


@contextmanager
def reproducible(device: torch.device) -> Iterator[None]:
    """Use PyTorch's deterministic implementations within the context; a no-op on a CPU.

    This matters for attention: convolutions, poolings, normalizations and fully connected layers are deterministic
    without it in channels-last memory. PyTorch warns of an operation that has no deterministic implementation, and
    runs it all the same. Searches and occlusion sweeps don't use this context: it would slow down ``index_copy_``,
    which is deterministic there because no index occurs twice.
    """
    if device.type != "cuda":
        yield
        return
    memory: Any = torch.utils.deterministic  # its attributes are set at run time
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    filled = memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    memory.fill_uninitialized_memory = False  # uninitialized memory is never read
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        memory.fill_uninitialized_memory = filled
