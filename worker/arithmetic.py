"""How a worker's process computes."""

from __future__ import annotations

import os

import torch


def settle_arithmetic(threads: int | None) -> None:
    """The same bits every time, and on a GPU float32 as on a CPU: TF32 keeps ten bits of a mantissa."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # as the supervisor says to workers
    if threads:
        torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
