"""The limit for workers of one thread: as many processes that only run the forward pass."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier

import torch
from torch import nn

from benchmarks.setting import BATCH, CONV5, SIZE, Setting
from benchmarks.timing import Timed
from unitscope.data.images import batches, to_input

START_SECONDS = 120

_barrier: Barrier


def forward_in_processes(setting: Setting, processes: int) -> Timed:
    """Run the crops forward to conv 5 in processes of one thread, which share them evenly.

    Each has its normalized images in memory, and has run a batch, before the timing starts.
    """
    context = multiprocessing.get_context("spawn")
    begins = context.Barrier(processes)
    with ProcessPoolExecutor(processes, context, _prepare, (begins,)) as pool:
        times = list(pool.map(_forward, [setting] * processes, range(processes), [processes] * processes))
    starts, ends = zip(*times, strict=True)
    return Timed(max(ends) - min(starts), None)


def _prepare(begins: Barrier) -> None:
    global _barrier
    _barrier = begins
    torch.set_num_threads(1)


def _forward(setting: Setting, number: int, processes: int) -> tuple[float, float]:
    """Return the monotonic time, which is that of all processes, at the start and at the end."""
    features: nn.Sequential = setting.model().features  # type: ignore[assignment]
    to_conv5 = features[: int(CONV5.partition(".")[2]) + 1]
    mine = setting.crops.sources[number::processes]
    images = [to_input(batch.pixels, "cpu") for batch in batches(mine, BATCH, SIZE, pad=True)]
    with torch.inference_mode():
        to_conv5(images[0])
        _barrier.wait(START_SECONDS)  # an error of another process would be waited for
        began = time.monotonic()
        for batch in images:
            to_conv5(batch)
    return began, time.monotonic()
