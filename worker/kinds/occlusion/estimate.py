"""Measure some batches of an occlusion sweep, and a figure, on this machine.

The time does not depend on the values of the weights, so the network is timed with its initial weights.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import nn

from shared.kinds.occlusion.specification import OcclusionSpecification
from unitscope.drawing.occlusion import OcclusionFigure, draw_figure
from unitscope.networks.placement import place
from unitscope.occlusion.engines import Engine, Full, choose_engine
from unitscope.occlusion.incremental import Incremental
from unitscope.occlusion.occluders import Grid
from unitscope.occlusion.sweep import OcclusionMaps, Sweep
from worker.context import JobContext
from worker.kinds.measuring import Measured, now, seconds_of
from worker.networks.build import build

T = TypeVar("T")
TIMED_KINDS = 4
TIMED_RUNS = 3  # of each kind, after a warm-up run


def estimate(model: nn.Module, specification: OcclusionSpecification, device: torch.device) -> dict[str, Any]:
    """Return the chosen engine with the reason, multiplications per position of the square, and the estimated
    times: before the first image, per image, and in total."""
    model = place(model.eval(), device)
    grid = Grid(specification.network.image_size, specification.patch, specification.stride)
    start = now(device)
    choice = choose_engine(model, specification.path, grid, specification.engine)
    sweep = Sweep(
        choice.engine, memory=specification.memory_mb * 2**20, together=specification.together, device=device
    )
    setup = now(device) - start
    warm_up, seconds = time_image(sweep, specification.together)
    engines: list[Engine] = [choice.engine]
    other = Full if isinstance(choice.engine, Incremental) else Incremental
    with suppress(ValueError):  # the reason says why
        engines.append(other(model, specification.path, grid))
    counted = {engine.name: engine.multiplications() for engine in sorted(engines, key=lambda engine: engine.name)}
    return {
        "images": len(specification.images),
        "positions_of_an_image": grid.positions,
        "engine": choice.engine.name,
        "because": choice.reason,
        "multiplications_of_a_position": {name: round(count) for name, count in counted.items()},
        "occluded_images_at_once": sweep.at_once,
        "images_at_once": sweep.images_at_once,
        "device": str(device),
        "seconds_an_image": seconds,
        "seconds_before_the_first": setup + warm_up,
        "seconds": setup + warm_up + seconds * len(specification.images),
    }


def measure(context: JobContext) -> Measured:
    """Measure the sweep of an image and the drawing of its figure, and describe how the sweep is computed."""
    specification = cast(OcclusionSpecification, context.specification)
    cost = estimate(build(context, specification.network), specification, context.device)
    multiplications = cost["multiplications_of_a_position"].items()
    details = {
        "sweep": f"{cost['images']} images, {cost['positions_of_an_image']} positions each",
        "multiplications per position": ", ".join(
            f"{name} {count / 1e6:,.0f} million" for name, count in multiplications
        ),
        "engine": f"{cost['engine']}: {cost['because']}",
        "batch": f"{cost['occluded_images_at_once']} occluded images, of at most {cost['images_at_once']} images",
        "time of an image": f"{cost['seconds_an_image']:.2f} s",
        "time before the first image": f"{cost['seconds_before_the_first']:.2f} s, once for each worker",
    }
    seconds = {"sweep": cost["seconds_an_image"], "draw": _figure_seconds(specification)}
    return Measured(seconds, {"sweep": cost["seconds_before_the_first"]}, details)


def _figure_seconds(specification: OcclusionSpecification) -> float:
    """Return the seconds to draw the figure of an image, of maps of noise."""
    size, noise = specification.network.image_size, np.random.default_rng(0)
    starts = np.arange(0, size - specification.patch + 1, specification.stride)
    shape = (len(starts), len(starts))
    values = noise.random(shape, np.float32)
    pixels = noise.integers(0, 256, (size, size, 3), np.uint8)
    maps = OcclusionMaps(
        starts=starts,
        patch=specification.patch,
        unit=0,
        clear_activation=1.0,
        clear_probability=1.0,
        clear_class=0,
        clear_target_probability=None if specification.target is None else 0.5,
        activation=values,
        probability=values,
        target_probability=None if specification.target is None else values,
        classes=noise.integers(0, min(specification.network.classes, 8), shape, np.int32),
        computed=np.ones(shape, bool),
        error=None,
    )
    figure = OcclusionFigure(
        image=pixels,
        maps=maps,
        title="title",
        class_name="class",
        target_name="target",
        class_names=[f"class {number}" for number in range(specification.network.classes)],
        layer=specification.layer,
        filled=pixels,
        projection=pixels,
        patch=pixels,
    )
    device = torch.device("cpu")
    draw_figure(figure)  # the first one loads fonts
    return seconds_of(lambda: draw_figure(figure), device)


@torch.inference_mode()
def time_image(sweep: Sweep, together: int) -> tuple[float, float]:
    """Measure the one-time cost before the first image and the time per image, in seconds.

    The first run with each shape allocates memory and chooses algorithms. Its extra time counts as one-time cost;
    the time per image is the median of the following runs.

    Parameters
    ----------
    together
        number of images that are usually swept together.
    """
    engine, device = sweep.engine, sweep.device
    size = engine.grid.size
    images = torch.zeros(1, 3, size, size, device=device).to(memory_format=torch.channels_last)
    cold, clear_seconds, clear = _time(lambda: engine.clear(images), device)
    positions = engine.grid.all_positions()
    kinds = engine.groups(positions)
    together = min(together, sweep.images_at_once)
    counts = {kind: int((kinds == kind).sum()) for kind in kinds.unique().tolist()}
    sizes = {kind: sweep.batch_size(count) for kind, count in counts.items()}
    # Rounded up, since the last batch of a kind is padded.
    batches = {kind: -(-count * together // sizes[kind]) for kind, count in counts.items()}
    occluded = {kind: batches[kind] * sizes[kind] for kind in counts}
    present = list(batches)
    chosen = [present[number] for number in _spread(len(present), TIMED_KINDS)]
    unit = torch.zeros(1, dtype=torch.int64, device=device)
    timed = 0.0
    for kind in chosen:
        of_kind = positions[kinds == kind]
        batch = of_kind.repeat(-(-sizes[kind] // len(of_kind)), 1)[: sizes[kind]]
        numbers = torch.zeros(len(batch), dtype=torch.int64)
        extra, seconds, _ = _time(partial(engine.run, clear, images, numbers, batch, unit), device)
        cold += extra * len(present) / len(chosen)
        timed += seconds * batches[kind]
    all_batches = timed * sum(occluded.values()) / sum(occluded[kind] for kind in chosen)
    return cold, clear_seconds + all_batches / together


def _time(run: Callable[[], T], device: torch.device) -> tuple[float, float, T]:
    """Return the extra seconds of the first run, the median of the other runs in seconds, and a result."""
    seconds = []
    for _ in range(1 + TIMED_RUNS):
        start = now(device)
        result = run()
        seconds.append(now(device) - start)
    warm = statistics.median(seconds[1:])
    return max(seconds[0] - warm, 0.0), warm, result


def _spread(count: int, most: int) -> list[int]:
    """Return at most ``most`` numbers of range(count), evenly spaced from the first to the last."""
    return torch.linspace(0, count - 1, min(most, count)).long().tolist()
