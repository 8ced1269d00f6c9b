"""How a device computes for as long as a result is worked out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
    choices = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        with ieee_precision():
            yield
    finally:
        cudnn.deterministic, cudnn.benchmark = choices


@contextmanager
def ieee_precision() -> Iterator[None]:
    """Settings of torch without TF32, by its older and its newer interface alike.

    torch refuses to read the older flags (``allow_tf32``) while they say something else than the newer ones
    (``fp32_precision``): what runs within, such as a network that uses ``torch.backends.cudnn.flags``, may read
    either. Setting the older ones changes the newer, and not the other way round: so they come first.
    """
    cudnn: Any = torch.backends.cudnn
    # From the general to the particular: what an operation leaves open is what is above it.
    levels: tuple[Any, ...] = (torch.backends, cudnn, torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn)
    precisions = [level.fp32_precision for level in levels]
    matmul = _readable(torch.get_float32_matmul_precision)
    tf32 = _readable(lambda: cudnn.allow_tf32)
    torch.set_float32_matmul_precision("highest")
    cudnn.allow_tf32 = False
    for level in levels:
        level.fp32_precision = "ieee"
    try:
        yield
    finally:
        if matmul is not None:
            torch.set_float32_matmul_precision(matmul)
        if tf32 is not None:
            cudnn.allow_tf32 = tf32
        for level, precision in zip(levels, precisions, strict=True):
            level.fp32_precision = precision


def _readable(read: Callable[[], Any]) -> Any:
    """What a flag of the older interface says; None where the newer one was set to something else before."""
    try:
        return read()
    except RuntimeError:
        return None
