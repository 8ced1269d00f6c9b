"""Profiles: the operators that take the most time, and the time in which the device is idle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.occlusion import CASES, build_model
from benchmarks.gpu.projection import ProjectionInput, project, search_top_activations
from benchmarks.gpu.report import Finding, Operation, Profile
from benchmarks.gpu.setting import Setting
from benchmarks.gpu.time_budget import TimeBudget
from benchmarks.occlusion import Images, run_sweep
from benchmarks.search import layer_units
from benchmarks.setting import CONV5, LAYERS, TOP
from unitscope.occlusion.incremental import Incremental
from unitscope.occlusion.occluders import Grid
from unitscope.occlusion.sweep import Sweep
from unitscope.search.search import search

OPERATIONS = 10
SYNCHRONIZING_CALLS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")


def measure(setting: Setting, budget: TimeBudget) -> Iterator[Finding]:
    """Yield profiles of the search, the projections, and an occlusion sweep of ZFNet."""
    sizes, device = setting.sizes, setting.device
    model = setting.model()
    units = layer_units(model, list(LAYERS.values()))
    _ = setting.cache
    yield profiled(
        f"search, five layers, {sizes.profiled} crops, warm pixel cache",
        lambda: search(model, units, setting.batches(sizes.profiled), TOP, device),
        setting,
    )
    projections = ProjectionInput.of(setting, search_top_activations(setting, model, [CONV5])[CONV5].top)
    yield profiled(
        f"{len(projections.requests.units):,} projections of conv 5",
        lambda: list(project(setting, model, CONV5, projections)),
        setting,
    )
    grid, case = Grid(sizes.image, *sizes.grids[0]), CASES[0]
    sweep = Sweep(
        Incremental(build_model(setting, case), case.layer, grid), together=sizes.sweep_images, device=device
    )
    images = Images.spread(setting.crops.sources, min(sizes.sweep_images, sweep.images_at_once), sizes.image)
    yield profiled(
        f"occlusion, {case.title}, {len(images.labels)} images, {grid.positions} squares of {grid.patch} px",
        lambda: run_sweep(sweep, images),
        setting,
    )


def profiled(work: str, run: Callable[[], object], setting: Setting) -> Profile:
    """Run ``run`` three times: as warm-up, timed, and with the profiler."""
    variant = setting.timed(run)
    variant()
    seconds = variant().seconds
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if setting.is_cuda else [])
    with profile(activities=activities) as profiler:
        variant()
    averages = [average for average in profiler.key_averages() if average.device_type == DeviceType.CPU]
    busy = waits = None
    if setting.is_cuda:
        spans = [(e.time_range.start, e.time_range.end) for e in profiler.events() or () if _is_device_event(e)]
        busy = union_length(spans) / 1e6 if spans else None  # no spans: GPU profiling may not be permitted
        waits = sum(average.count for average in averages if average.key in SYNCHRONIZING_CALLS)
    name = "self_device_time_total" if setting.is_cuda else "self_cpu_time_total"
    slowest = sorted(averages, key=lambda average: -getattr(average, name))[:OPERATIONS]
    return Profile(
        work,
        seconds,
        busy,
        None if busy is None else max(0.0, 1 - busy / seconds),
        waits,
        [Operation(average.key, average.count, getattr(average, name) / 1000) for average in slowest],
    )


def _is_device_event(event: Any) -> bool:
    """Whether the event is a kernel or a copy, and not an annotation that spans several of them."""
    return event.device_type == DeviceType.CUDA and not getattr(event, "is_user_annotation", False)


def union_length(spans: Iterable[tuple[float, float]]) -> float:
    """Return the length of the union of the spans (begin, end)."""
    total, until = 0.0, float("-inf")
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, until))
        until = max(until, end)
    return total
