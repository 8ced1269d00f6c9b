"""Deterministic arithmetic in a worker process."""

from __future__ import annotations

import os
import warnings

import torch

from unitscope.determinism import FIXED_ORDER


def configure_determinism(threads: int | None) -> None:
    """Configure torch for bitwise reproducible results and full float32 precision, and set its number of threads.

    On a GPU, TF32 is disabled, since it has a mantissa of only 10 bits; cuDNN uses deterministic algorithms,
    chosen by shape and not by benchmark; and cuBLAS uses workspaces of a fixed size, which it reads from the
    environment when it is first used. All other operations of searches, projections and sweeps are deterministic
    anyway, including the backward passes of pooling: ``max_pool2d`` sums, for each position, over the windows that
    selected it, without atomic additions. Average pooling in channels-last memory and the ``avg_pool3d`` of stride
    1 inside contrast normalization do not use atomic additions either, although
    ``torch.use_deterministic_algorithms`` rejects both. For training see ``unitscope.determinism``.
    """
    if threads:
        torch.set_num_threads(threads)
    warnings.filterwarnings("ignore", message=FIXED_ORDER)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
