"""Speed and accuracy of the forward pass in TF32 and bfloat16."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from benchmarks.gpu.report import Finding
from benchmarks.gpu.setting import Setting, up_to_conv5
from benchmarks.gpu.time_budget import TimeBudget
from benchmarks.setting import TOP
from benchmarks.timing import Row
from unitscope.data.images import to_input


def measure(setting: Setting, budget: TimeBudget) -> Iterator[Finding]:
    """Yield a row per precision, and a row for ``cudnn.benchmark``."""
    model = up_to_conv5(setting.model())
    half = copy.deepcopy(model).to(torch.bfloat16)
    decoded = list(setting.batches(setting.sizes.compared))
    inputs = [to_input(batch.pixels, setting.device) for batch in decoded]
    halves = [images.to(torch.bfloat16) for images in inputs]
    count = sum(len(batch.sources) for batch in decoded)

    def maxima(network: nn.Module, images: list[torch.Tensor]) -> torch.Tensor:
        with torch.inference_mode():
            return torch.cat([network(batch).float().amax((2, 3)) for batch in images])[:count]

    def in_tf32() -> torch.Tensor:
        with _arithmetic(tf32=True):
            return maxima(model, inputs)

    def with_cudnn_benchmark() -> torch.Tensor:
        with _arithmetic(benchmark=True):
            return maxima(model, inputs)

    variants: dict[str, Callable[[], torch.Tensor]] = {
        "float32": lambda: maxima(model, inputs),
        "TF32": in_tf32,
        "bfloat16": lambda: maxima(half, halves),
        "float32 with cudnn.benchmark": with_cudnn_benchmark,
    }
    timings = setting.time_interleaved(
        {name: setting.timed(variant) for name, variant in variants.items()}, budget
    )
    expected = timings.results.pop("float32").double().cpu().numpy()
    for name, result in timings.results.items():
        yield Row(
            "precision",
            f"forward pass to conv 5 in {name}, {count:,} crops, batches of {len(inputs[0])}",
            timings.seconds[name],
            "float32 with the settings of a worker",
            timings.seconds["float32"],
            note=_errors(result.double().cpu().numpy(), expected),
        )


@contextmanager
def _arithmetic(tf32: bool = False, benchmark: bool = False) -> Iterator[None]:
    """Set TF32 and ``cudnn.benchmark`` inside the ``with`` block, and restore the settings afterwards."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark, cudnn.deterministic
    cudnn.allow_tf32 = matmul.allow_tf32 = tf32
    cudnn.benchmark, cudnn.deterministic = benchmark, not benchmark
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark, cudnn.deterministic = before


def _errors(maxima: np.ndarray, expected: np.ndarray) -> str:
    """Describe the errors of maxima, [images, units], and how many of each unit's top images stay the same."""
    top = min(TOP, len(expected))
    expected_top, actual_top = (np.argsort(-values, axis=0, kind="stable")[:top] for values in (expected, maxima))
    largest = np.abs(expected).max() or 1.0
    top_maxima = np.take_along_axis(expected, expected_top, 0)
    top_errors = np.abs(np.take_along_axis(maxima, expected_top, 0) - top_maxima)
    top_errors /= np.maximum(np.abs(top_maxima), 1e-9)
    same = np.mean([len(set(a) & set(b)) / top for a, b in zip(expected_top.T, actual_top.T, strict=True)])
    errors = np.abs(maxima - expected) / largest
    return (
        f"Error of the maxima relative to the layer's largest one: median {np.median(errors):.1e}, maximum "
        f"{errors.max():.1e}. Relative error of each unit's {top} largest maxima: median "
        f"{np.median(top_errors):.1e}, maximum {top_errors.max():.1e}. {same:.1%} of the top {top} images "
        "are the same."
    )
