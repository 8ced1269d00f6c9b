"""``python -m worker.kinds.occlusion.estimate``: what an occlusion sweep would cost on this machine.

Its specification is read from stdin; the answer is one line of JSON.

Nothing but arithmetic depends on a network's weights, so that it is timed with initial ones.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import torch

from shared.kinds.occlusion.specification import OcclusionSpecification
from shared.settings import load_settings
from unitscope.networks.placement import place
from unitscope.occlusion.engines import Engine, Full, choose_engine
from unitscope.occlusion.incremental import Incremental
from unitscope.occlusion.occluders import Grid
from unitscope.occlusion.sweep import Sweep
from worker.arithmetic import settle_arithmetic
from worker.kinds.common import build
from worker.programs.answering import print_answer

T = TypeVar("T")
TIMED_KINDS = 4
TIMED_RUNS = 3  # of each, after one that isn't timed


def estimate(specification: OcclusionSpecification, device: torch.device) -> dict[str, Any]:
    """The engine that would be chosen and why, multiplications by position of the square, and seconds, as measured
    on a few batches: for one image, and for what comes before the first."""
    network = specification.network
    model = place(build(network).eval(), device)
    grid = Grid(network.image_size, specification.patch, specification.stride)
    began = _now(device)
    choice = choose_engine(model, specification.path, grid, specification.engine)
    sweep = Sweep(
        choice.engine, memory=specification.memory_mb * 2**20, together=specification.together, device=device
    )
    set_up = _now(device) - began
    first, seconds = time_image(sweep, specification.together)
    engines: list[Engine] = [choice.engine]
    other = Full if isinstance(choice.engine, Incremental) else Incremental
    with suppress(ValueError):  # the reason says why
        engines.append(other(model, specification.path, grid))
    counted = {engine.name: engine.multiplications() for engine in sorted(engines, key=lambda engine: engine.name)}
    return {
        "images": len(specification.images),
        "positions_of_an_image": grid.places,
        "engine": choice.engine.name,
        "because": choice.reason,
        "multiplications_of_a_position": {name: round(count) for name, count in counted.items()},
        "occluded_images_at_once": sweep.at_once,
        "images_at_once": sweep.images_at_once,
        "device": str(device),
        "seconds_an_image": seconds,
        "seconds_before_the_first": set_up + first,
        "seconds": set_up + first + seconds * len(specification.images),
        "approximate": bool(specification.approximate),
    }


@torch.inference_mode()
def time_image(sweep: Sweep, together: int) -> tuple[float, float]:
    """Seconds that come once, before the first image, and seconds for each image.

    The first run of each shape allocates memory and chooses algorithms: it is not timed with the others, of which
    the median counts.

    Parameters
    ----------
    together
        how many images come together, mostly.
    """
    engine, device, at_once = sweep.engine, sweep.device, sweep.at_once
    size = engine.grid.size
    images = torch.zeros(1, 3, size, size, device=device).to(memory_format=torch.channels_last)
    cold, clear_seconds, clear = _time(lambda: engine.clear(images), device)
    places = engine.grid.all_places()
    kinds = engine.kinds(places)
    together = min(together, sweep.images_at_once)
    # The last batch of a kind is filled up.
    batches = {kind: -(-int((kinds == kind).sum()) * together // at_once) for kind in kinds.unique().tolist()}
    present = list(batches)
    chosen = [present[number] for number in _spread(len(present), TIMED_KINDS)]
    unit = torch.zeros(1, dtype=torch.int64, device=device)
    numbers = torch.zeros(at_once, dtype=torch.int64)
    timed = 0.0
    for kind in chosen:
        of_kind = places[kinds == kind]
        batch = of_kind.repeat(-(-at_once // len(of_kind)), 1)[:at_once]
        extra, seconds, _ = _time(partial(engine.run, clear, images, numbers, batch, unit), device)
        cold += extra * len(present) / len(chosen)
        timed += seconds * batches[kind]
    all_batches = timed * sum(batches.values()) / sum(batches[kind] for kind in chosen)
    return cold, clear_seconds + all_batches / together


def _time(run: Callable[[], T], device: torch.device) -> tuple[float, float, T]:
    """What the first run takes longer than the others, the median of the others in seconds, and a result."""
    seconds = []
    for _ in range(1 + TIMED_RUNS):
        began = _now(device)
        result = run()
        seconds.append(_now(device) - began)
    warm = statistics.median(seconds[1:])
    return max(seconds[0] - warm, 0.0), warm, result


def _spread(count: int, most: int) -> list[int]:
    """At most so many of range(count), from the first to the last."""
    return torch.linspace(0, count - 1, min(most, count)).long().tolist()


def _now(device: torch.device) -> float:
    """The time when the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def main() -> None:
    """Estimate the sweep whose specification comes as JSON."""
    os.umask(0o077)
    settle_arithmetic(load_settings({}).threads)
    device = os.environ.get("ANALYZE_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    specification = OcclusionSpecification.model_validate_json(sys.stdin.read())
    print_answer(lambda: {"estimate": estimate(specification, torch.device(device))})


if __name__ == "__main__":
    main()
