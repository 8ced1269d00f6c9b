"""How a worker's process computes."""

from __future__ import annotations

import os
import warnings

import torch

from unitscope.determinism import FIXED_ORDER


def settle_arithmetic(threads: int | None) -> None:
    """The same bits every time, and on a GPU float32 as on a CPU: TF32 keeps ten bits of a mantissa.

    On a GPU this takes: cuDNN's algorithms chosen by shape, not by a race, among those that add in a fixed order;
    and workspaces of a fixed size for cuBLAS, which looks for that when it is first used. All else that searches,
    projections and sweeps run adds in a fixed order anyway. Among it are the backward passes of poolings: that of
    ``max_pool2d`` adds up, for each place, the windows that chose it, one after the other, and uses no atomic
    additions; neither do those of average poolings in channels-last memory, nor that of the ``avg_pool3d`` inside
    contrast normalisation, whose stride is 1, though ``torch.use_deterministic_algorithms`` refuses the last two.
    For training see ``unitscope.determinism``.
    """
    if threads:
        torch.set_num_threads(threads)
    warnings.filterwarnings("ignore", message=FIXED_ORDER)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
