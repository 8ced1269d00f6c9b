"""How a worker's process computes."""

from __future__ import annotations

import torch


def settle_arithmetic(threads: int | None) -> None:
    """The same bits every time, and on a GPU float32 as on a CPU: TF32 keeps ten bits of a mantissa."""
    if threads:
        torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
