"""The same bits from every training run on one GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

# They have no second implementation, but need none as a network in channels-last memory runs them: see
# ``worker.arithmetic.settle_arithmetic``.
FIXED_ORDER = r"(adaptive_avg_pool2d|avg_pool3d)_backward_cuda does not have a deterministic implementation"


@contextmanager
def reproducible(device: torch.device) -> Iterator[None]:
    """Within: of PyTorch's implementations for a GPU those that add in a fixed order; on a CPU they all do.

    Convolutions, poolings, normalisations and fully connected layers have no others here; attention has. An
    operation that has none that is deterministic is warned of, and used. Searches and sweeps go without: writing
    rows of a map would be slower, and no row occurs twice.
    """
    if device.type != "cuda":
        yield
        return
    memory: Any = torch.utils.deterministic  # its attributes are set at run time
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    filled = memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    memory.fill_uninitialized_memory = False  # nothing reads it
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        memory.fill_uninitialized_memory = filled
