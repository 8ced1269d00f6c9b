"""How a worker's process computes."""

from __future__ import annotations

import os

import torch


def settle_arithmetic(threads: int | None) -> None:
    """The same bits every time, and on a GPU float32 as on a CPU: TF32 keeps ten bits of a mantissa.

    On a GPU it takes this: cuDNN's algorithms are chosen by shape, not by a race, and among those that add in a
    fixed order; cuBLAS has workspaces of a fixed size, which it reads when it is first used. The rest of what search,
    projections and sweeps run has no order that could vary. In particular the backward pass of ``max_pool2d``
    adds up, for each place, the windows that chose it, row by row, and needs no atomic additions; neither do those
    of adaptive and ordinary average pooling in channels-last memory, nor that of the ``avg_pool3d`` inside contrast
    normalisation, whose stride is 1. (``torch.use_deterministic_algorithms`` warns of three of them all the same.)
    Of what training runs see ``worker.vision.determinism``.
    """
    if threads:
        torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
