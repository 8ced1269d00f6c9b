"""Occlusion sweeps of three networks compared with plain batching."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial

import torch
from torch import nn

from benchmarks.gpu.report import Finding
from benchmarks.gpu.setting import Setting
from benchmarks.gpu.time_budget import TimeBudget
from benchmarks.occlusion import (
    Images,
    OcclusionRun,
    SweepBatch,
    calibrated,
    maps_table,
    max_errors,
    per_image,
    run_sweep,
)
from benchmarks.timing import Goal, Row
from unitscope.memory import is_out_of_memory
from unitscope.networks import build as networks
from unitscope.networks.initialization import initialize
from unitscope.occlusion.engines import Full
from unitscope.occlusion.incremental import Incremental
from unitscope.occlusion.occluders import Grid
from unitscope.occlusion.sweep import Sweep

MAX_DIFFERENCE = 1e-3  # as a share of a map's range


@dataclass(frozen=True)
class Case:
    """A network, the layer to sweep, and the goal for the ratio."""

    title: str
    network: str
    layer: str
    goal: float


CASES = (
    Case("ZFNet", "zfnet", "features.10", 2),
    Case("VGG-16", "vgg16", "features.28", 4),
    Case("ResNet-18", "resnet18", "layer4.1.conv2", 1.5),
)


def measure(setting: Setting, budget: TimeBudget) -> Iterator[Finding]:
    """Yield a row per network and grid, the coarse grid first."""
    model = cache(partial(build_model, setting))
    cases = [(case, Grid(setting.sizes.image, *grid)) for grid in setting.sizes.grids for case in CASES]
    for case, grid in cases:
        yield from _case(setting, case, model(case), grid, budget.share(1 / len(cases)))


def build_model(setting: Setting, case: Case) -> nn.Module:
    """Build a network with He initialization; batch normalization has the statistics of some crops."""
    if case.network == "zfnet":
        return setting.model()
    torch.manual_seed(0)
    model = networks.build(case.network, 20, setting.sizes.image)
    initialize(model, "he")
    model = model.to(setting.device, memory_format=torch.channels_last)
    return calibrated(model, setting.crops.sources, setting.sizes.image, setting.device)


def _case(setting: Setting, case: Case, model: nn.Module, grid: Grid, budget: TimeBudget) -> Iterator[Finding]:
    device, sizes = setting.device, setting.sizes
    ours, full = Incremental(model, case.layer, grid), Full(model, case.layer, grid)
    incremental = Sweep(ours, together=sizes.sweep_images, device=device)
    plain = Sweep(full, device=device)
    together = min(sizes.sweep_images, incremental.images_at_once)  # as in a worker
    images = Images.spread(setting.crops.sources, together, sizes.image)
    peers = images.first(sizes.plain_sweep_images)
    plain.at_once = _best_batch(setting, full, peers)

    timings = setting.time_interleaved(
        {
            "incremental": per_image(setting.timed(lambda: run_sweep(incremental, images)), images),
            "plain": per_image(setting.timed(lambda: run_sweep(plain, peers)), peers),
        },
        budget,
    )
    maps, expected = (
        maps_table(timings.results[variant][: sizes.plain_sweep_images]) for variant in ("incremental", "plain")
    )
    difference = float(max_errors(maps, expected, expected).max())
    yield Row(
        "occlusion",
        f"occlusion, {case.title} {sizes.image}, {case.layer}, {grid.positions:,} squares of {grid.patch} px, "
        f"stride {grid.stride}, per image",
        timings.seconds["incremental"],
        f"plain batching in float32, batches of at most {plain.at_once}",
        timings.seconds["plain"],
        Goal(case.goal),
        f"{ours.multiplications() / full.multiplications():.0%} of the multiplications, batches of "
        f"{incremental.at_once}, {len(images.labels)} images per sweep. The maps differ by at most "
        f"{difference:.1e} of their range; {int((maps[:, 2] != expected[:, 2]).sum())} of "
        f"{expected[:, 2].size:,} classes differ.",
        {"difference": difference},
        judged=setting.is_cuda,
    )
    assert difference <= MAX_DIFFERENCE, (
        f"{case.title}: the maps differ from those of plain batching by {difference:.1e} of their range"
    )


def _best_batch(setting: Setting, full: Full, images: Images) -> int:
    """Return the fastest batch size for plain batching, skipping sizes that don't fit in memory.

    Each size is reduced so that the positions of a sweep fill all batches evenly, without padding of the last one.
    """
    occluded, places = OcclusionRun(full, images, setting.device), full.grid.all_positions()
    seconds: dict[int, float] = {}
    for most in setting.sizes.plain_batches:
        batch = math.ceil(len(places) / math.ceil(len(places) / most))
        part = SweepBatch(torch.zeros(batch, dtype=torch.int64), places[:batch])
        variant = setting.timed(partial(occluded.run, part))
        try:
            seconds[batch] = min(variant().seconds for _ in range(3)) / batch
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
    return min(seconds, key=lambda batch: seconds[batch])
