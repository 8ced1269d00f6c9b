"""Where the time goes: the operators that take most of it, and how long the device waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.clock import Clock
from benchmarks.gpu.projecting import Asked, projected, winners
from benchmarks.gpu.report import Finding, Operation, Profile
from benchmarks.gpu.setting import Setting
from benchmarks.gpu.sweeping import CASES, model_of
from benchmarks.occlusion import Images, swept
from benchmarks.search import units_of
from benchmarks.setting import CONV5, LAYERS, TOP
from unitscope.occlusion.incremental import Incremental
from unitscope.occlusion.occluders import Grid
from unitscope.occlusion.sweep import Sweep
from unitscope.search.search import search

OPERATIONS = 10
WAITING = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")


def measure(setting: Setting, clock: Clock) -> Iterator[Finding]:
    """A profile each of the search, the projections, and the sweep of ZFNet."""
    sizes, device = setting.sizes, setting.device
    model = setting.model()
    units = units_of(model, list(LAYERS.values()))
    _ = setting.cache
    yield profiled(
        f"search, five layers, {sizes.profiled} crops, warm pixel cache",
        lambda: search(model, units, setting.batches(sizes.profiled), TOP, device),
        setting,
    )
    asked = Asked.of(setting, winners(setting, model, [CONV5])[CONV5].top)
    yield profiled(
        f"{len(asked.requests.units):,} projections of conv 5",
        lambda: list(projected(setting, model, CONV5, asked)),
        setting,
    )
    grid, case = Grid(sizes.image, *sizes.grids[0]), CASES[0]
    sweep = Sweep(Incremental(model_of(setting, case), case.layer, grid), together=sizes.swept, device=device)
    images = Images.spread(setting.crops.sources, min(sizes.swept, sweep.images_at_once), sizes.image)
    yield profiled(
        f"occlusion, {case.title}, {len(images.labels)} images, {grid.places} squares of {grid.patch} px",
        lambda: swept(sweep, images),
        setting,
    )


def profiled(work: str, run: Callable[[], object], setting: Setting) -> Profile:
    """Run it three times: to warm up, to take its time, and with the profiler."""
    way = setting.timed(run)
    way()
    seconds = way().seconds
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if setting.is_cuda else [])
    with profile(activities=activities) as found:
        way()
    averages = [of for of in found.key_averages() if of.device_type == DeviceType.CPU]
    busy = waits = None
    if setting.is_cuda:
        spans = [(e.time_range.start, e.time_range.end) for e in found.events() or () if _is_of_device(e)]
        busy = covered(spans) / 1e6 if spans else None  # none: the profiler may be forbidden to look at the device
        waits = sum(of.count for of in averages if of.key in WAITING)
    name = "self_device_time_total" if setting.is_cuda else "self_cpu_time_total"
    slowest = sorted(averages, key=lambda of: -getattr(of, name))[:OPERATIONS]
    return Profile(
        work,
        seconds,
        busy,
        None if busy is None else max(0.0, 1 - busy / seconds),
        waits,
        [Operation(of.key, of.count, getattr(of, name) / 1000) for of in slowest],
    )


def _is_of_device(event: Any) -> bool:
    """A kernel or a copy, and no annotation over several of them."""
    return event.device_type == DeviceType.CUDA and not getattr(event, "is_user_annotation", False)


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """How much of the time at least one of the spans (begin, end) covers."""
    total, until = 0.0, float("-inf")
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, until))
        until = max(until, end)
    return total
