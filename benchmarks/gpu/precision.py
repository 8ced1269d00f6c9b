"""The forward pass in TF32 and bfloat16: how much faster it is, and how far off the maxima are."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from benchmarks.gpu.clock import Clock
from benchmarks.gpu.report import Finding
from benchmarks.gpu.setting import Setting, up_to_conv5
from benchmarks.measuring import Row
from benchmarks.setting import TOP
from unitscope.data.images import to_input


def measure(setting: Setting, clock: Clock) -> Iterator[Finding]:
    """A row for each precision, and one for cuDNN's choice of algorithms by measuring them."""
    model = up_to_conv5(setting.model())
    half = copy.deepcopy(model).to(torch.bfloat16)
    decoded = list(setting.batches(setting.sizes.compared))
    inputs = [to_input(batch.pixels, setting.device) for batch in decoded]
    halves = [images.to(torch.bfloat16) for images in inputs]
    count = sum(len(batch.sources) for batch in decoded)

    def passes(of: nn.Module, images: list[torch.Tensor]) -> torch.Tensor:
        with torch.inference_mode():
            return torch.cat([of(batch).float().amax((2, 3)) for batch in images])[:count]

    def in_tf32() -> torch.Tensor:
        with _arithmetic(tf32=True):
            return passes(model, inputs)

    def chosen_by_measuring() -> torch.Tensor:
        with _arithmetic(measuring=True):
            return passes(model, inputs)

    ways: dict[str, Callable[[], torch.Tensor]] = {
        "float32": lambda: passes(model, inputs),
        "TF32": in_tf32,
        "bfloat16": lambda: passes(half, halves),
        "float32, algorithms chosen by measuring": chosen_by_measuring,
    }
    turns = setting.in_turn({name: setting.timed(way) for name, way in ways.items()}, clock)
    right = turns.results.pop("float32").double().cpu().numpy()
    for name, found in turns.results.items():
        yield Row(
            "precision",
            f"forward pass to conv 5 in {name}, {count:,} crops, batches of {len(inputs[0])}",
            turns.seconds[name],
            "in float32, algorithms as a worker has them",
            turns.seconds["float32"],
            note=_errors(found.double().cpu().numpy(), right),
        )


@contextmanager
def _arithmetic(tf32: bool = False, measuring: bool = False) -> Iterator[None]:
    """TF32, and cuDNN's choice of algorithms; as it was, afterwards."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark, cudnn.deterministic
    cudnn.allow_tf32 = matmul.allow_tf32 = tf32
    cudnn.benchmark, cudnn.deterministic = measuring, not measuring
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark, cudnn.deterministic = before


def _errors(found: np.ndarray, right: np.ndarray) -> str:
    """Of maxima, [images, units]: all, those of each unit's best images, and which images those are."""
    top = min(TOP, len(right))
    best, best_found = (np.argsort(-values, axis=0, kind="stable")[:top] for values in (right, found))
    largest = np.abs(right).max() or 1.0
    at_best = np.take_along_axis(right, best, 0)
    wrong_at_best = np.abs(np.take_along_axis(found, best, 0) - at_best) / np.maximum(np.abs(at_best), 1e-9)
    same = np.mean([len(set(a) & set(b)) / top for a, b in zip(best.T, best_found.T, strict=True)])
    wrong = np.abs(found - right) / largest
    return (
        f"Error of the maxima, in shares of the layer's largest: {np.median(wrong):.1e} in the median, "
        f"{wrong.max():.1e} at most; of each unit's {top} best, in shares of themselves: "
        f"{np.median(wrong_at_best):.1e} in the median, {wrong_at_best.max():.1e} at most. {same:.1%} of these "
        f"images stay among the {top} best."
    )
