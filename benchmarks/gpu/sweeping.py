"""Occlusion sweeps of three networks against plain batching."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial

import torch
from torch import nn

from benchmarks.gpu.clock import Clock
from benchmarks.gpu.report import Finding
from benchmarks.gpu.setting import Setting
from benchmarks.measuring import Goal, Row, Timed, Way
from benchmarks.occlusion import Images, Occluded, Part, calibrated, errors_of, swept, table_of
from unitscope.memory import is_out_of_memory
from unitscope.networks import build as networks
from unitscope.networks.initialization import initialise
from unitscope.occlusion.engines import Full
from unitscope.occlusion.incremental import Incremental
from unitscope.occlusion.occluders import Grid
from unitscope.occlusion.sweep import Sweep

SAME = 1e-3  # of a map's range


@dataclass(frozen=True)
class Case:
    """A network that is swept."""

    title: str
    network: str
    layer: str
    goal: float


CASES = (
    Case("ZFNet", "zfnet", "features.10", 2),
    Case("VGG-16", "vgg16", "features.28", 4),
    Case("ResNet-18", "resnet18", "layer4.1.conv2", 1.5),
)


def measure(setting: Setting, clock: Clock) -> Iterator[Finding]:
    """A row for each network and grid, the coarse grid first."""
    model = cache(partial(model_of, setting))
    cases = [(case, Grid(setting.sizes.image, *grid)) for grid in setting.sizes.grids for case in CASES]
    for case, grid in cases:
        yield from _case(setting, case, model(case), grid, clock.share(1 / len(cases)))


def model_of(setting: Setting, case: Case) -> nn.Module:
    """He initialisation; batch normalisation with the statistics of some crops."""
    if case.network == "zfnet":
        return setting.model()
    torch.manual_seed(0)
    model = networks.build(case.network, 20, setting.sizes.image)
    initialise(model, "he")
    model = model.to(setting.device, memory_format=torch.channels_last)
    return calibrated(model, setting.crops.sources, setting.sizes.image, setting.device)


def _case(setting: Setting, case: Case, model: nn.Module, grid: Grid, clock: Clock) -> Iterator[Finding]:
    device, sizes = setting.device, setting.sizes
    ours, full = Incremental(model, case.layer, grid), Full(model, case.layer, grid)
    incremental = Sweep(ours, together=sizes.swept, device=device)
    plain = Sweep(full, device=device)
    together = min(sizes.swept, incremental.images_at_once)  # as a worker sweeps them
    images = Images.spread(setting.crops.sources, together, sizes.image)
    peers = images.first(sizes.swept_plainly)
    plain.at_once = _best_batch(setting, full, peers)

    def by_image(sweep: Sweep, of: Images) -> Way:
        way = setting.timed(lambda: swept(sweep, of))

        def run() -> Timed:
            found = way()
            return Timed(found.seconds / len(of.labels), found.result)

        return run

    turns = setting.in_turn({"incremental": by_image(incremental, images), "plain": by_image(plain, peers)}, clock)
    found, right = (table_of(turns.results[way][: sizes.swept_plainly]) for way in ("incremental", "plain"))
    wrong = float(errors_of(found, right, right).max())
    yield Row(
        "occlusion",
        f"occlusion, {case.title} {sizes.image}, {case.layer}, {grid.places:,} squares of {grid.patch} px, stride "
        f"{grid.stride}, an image",
        turns.seconds["incremental"],
        f"plain batching in float32, batches of {plain.at_once}",
        turns.seconds["plain"],
        Goal(case.goal),
        f"{ours.multiplications() / full.multiplications():.0%} of the multiplications, batches of "
        f"{incremental.at_once}, {len(images.labels)} images in a sweep. The maps differ by at most {wrong:.1e} "
        f"of their range, {int((found[:, 2] != right[:, 2]).sum())} of {right[:, 2].size:,} classes are others.",
        {"difference": wrong},
        judged=setting.is_cuda,
    )
    assert wrong <= SAME, f"{case.title}: the maps differ by {wrong:.1e} of their range from plain batching's"


def _best_batch(setting: Setting, full: Full, images: Images) -> int:
    """The fastest of plain batching's, each a bit smaller than the sizes say where the last of a sweep would be
    filled up otherwise; one that the memory can't hold is none."""
    occluded, places = Occluded(full, images, setting.device), full.grid.all_places()
    seconds: dict[int, float] = {}
    for most in setting.sizes.plain_batches:
        batch = math.ceil(len(places) / math.ceil(len(places) / most))
        part = Part(torch.zeros(batch, dtype=torch.int64), places[:batch])
        way = setting.timed(partial(occluded.run, part))
        try:
            seconds[batch] = min(way().seconds for _ in range(3)) / batch
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
    return min(seconds, key=lambda batch: seconds[batch])
