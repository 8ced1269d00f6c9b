"""Floating-point settings of a device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
    choices = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        with ieee_precision():
            yield
    finally:
        cudnn.deterministic, cudnn.benchmark = choices


@contextmanager
def ieee_precision() -> Iterator[None]:
    """Disable TF32 within the context, in both of torch's interfaces."""
    with _float32_precision("ieee", "highest"):
        yield


@contextmanager
def tf32_precision() -> Iterator[None]:
    """Use TF32 for convolutions and matrix products on a GPU within the context, in both of torch's interfaces."""
    with _float32_precision("tf32", "high"):
        yield


@contextmanager
def _float32_precision(precision: str, matmul_precision: str) -> Iterator[None]:
    """Set the arithmetic of float32 operations on a GPU within the context.

    Torch raises an error when the older flags (``allow_tf32``) are read while they contradict the newer ones
    (``fp32_precision``), and code within the context may read either, for example a network that uses
    ``torch.backends.cudnn.flags``. The older flags are set first, because setting them changes the newer ones, but
    not the reverse.
    """
    cudnn: Any = torch.backends.cudnn
    # From general to specific: an operation without a setting inherits that of the level above.
    levels: tuple[Any, ...] = (torch.backends, cudnn, torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn)
    precisions = [level.fp32_precision for level in levels]
    matmul = _readable(torch.get_float32_matmul_precision)
    tf32 = _readable(lambda: cudnn.allow_tf32)
    torch.set_float32_matmul_precision(matmul_precision)
    cudnn.allow_tf32 = precision == "tf32"
    for level in levels:
        level.fp32_precision = precision
    try:
        yield
    finally:
        if matmul is not None:
            torch.set_float32_matmul_precision(matmul)
        if tf32 is not None:
            cudnn.allow_tf32 = tf32
        for level, before in zip(levels, precisions, strict=True):
            level.fp32_precision = before


def _readable(read: Callable[[], Any]) -> Any:
    """Read a flag of the older interface; None if it contradicts the newer one."""
    try:
        return read()
    except RuntimeError:
        return None
