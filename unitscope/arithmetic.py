"""How a device computes for as long as a result is worked out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def exact_float32(device: torch.device) -> Iterator[None]:
    """On a GPU, float32 as on a CPU and the same bits every time; what was set before is set again afterwards.

    By default convolutions would be computed in TF32, with ten bits of mantissa: a projection's activation would
    not be the one that the search recorded.
    """
    if device.type != "cuda":
        yield
        return
    cudnn: Any = torch.backends.cudnn
    matmul, convolution = torch.backends.cuda.matmul, cudnn.conv
    precisions = matmul.fp32_precision, convolution.fp32_precision
    choices = cudnn.deterministic, cudnn.benchmark
    matmul.fp32_precision = convolution.fp32_precision = "ieee"
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        matmul.fp32_precision, convolution.fp32_precision = precisions
        cudnn.deterministic, cudnn.benchmark = choices
