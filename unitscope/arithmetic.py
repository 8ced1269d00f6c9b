"""Floating-point settings of a device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def exact_float32(device: torch.device) -> Iterator[None]:
    """Disable TF32 and use deterministic cuDNN algorithms within the context; a no-op on a CPU.

    By default PyTorch computes convolutions on a GPU in TF32, with a mantissa of ten bits: a projection's
    activation would differ from the one that the search recorded. The previous settings are restored on exit.
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
