"""``python -m worker.kinds.occlusion.estimate``: estimate the cost of an occlusion sweep on this machine.

Reads the sweep's specification as JSON from stdin and prints the estimate as one line of JSON.

The time does not depend on the values of the weights, so the network is timed with its initial weights.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

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
from worker.programs.output import print_answer

TIMED_KINDS = 4


def estimate(specification: OcclusionSpecification, device: torch.device) -> dict[str, Any]:
    """Return the chosen engine with the reason, multiplications per position of the square, and the time measured
    on a few batches."""
    network = specification.network
    model = place(build(network).eval(), device)
    grid = Grid(network.image_size, specification.patch, specification.stride)
    choice = choose_engine(model, specification.path, grid, specification.engine)
    sweep = Sweep(
        choice.engine, memory=specification.memory_mb * 2**20, together=specification.together, device=device
    )
    engines: list[Engine] = [choice.engine]
    other = Full if isinstance(choice.engine, Incremental) else Incremental
    with suppress(ValueError):  # the reason says why
        engines.append(other(model, specification.path, grid))
    counted = {engine.name: engine.multiplications() for engine in sorted(engines, key=lambda engine: engine.name)}
    seconds = _seconds_of_image(sweep, device)
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
        "seconds": seconds * len(specification.images),
        "approximate": bool(specification.approximate),
    }


@torch.inference_mode()
def _seconds_of_image(sweep: Sweep, device: torch.device) -> float:
    """By a batch each of some kinds of places, after one to warm up."""
    engine, grid = sweep.engine, sweep.engine.grid
    images = torch.zeros(1, 3, grid.size, grid.size, device=device).to(memory_format=torch.channels_last)
    if images.is_cuda:
        engine.clear(images)  # the first use of a GPU's libraries takes seconds, and comes once
    began = _now(device)
    clear = engine.clear(images)
    clear_seconds = _now(device) - began
    places = grid.all_places()
    timed = list(_timed_kinds(engine, clear, images, places, sweep.at_once))
    share = sum(count for count, _ in timed) / len(places)
    return clear_seconds + sum(count * seconds for count, seconds in timed) / share


def _timed_kinds(
    engine: Engine, clear: Any, images: torch.Tensor, places: torch.Tensor, at_once: int
) -> Iterator[tuple[int, float]]:
    """How many places are of a kind, and seconds for one; on a GPU, when its shapes have been seen before."""
    kinds = engine.kinds(places)
    present = kinds.unique()
    chosen = present[torch.linspace(0, len(present) - 1, min(TIMED_KINDS, len(present))).long()].tolist()
    unit = torch.zeros(1, dtype=torch.int64, device=images.device)
    runs = [(chosen[0], False), *((kind, True) for kind in chosen)]
    if images.is_cuda:
        runs = [(kind, timed) for kind in chosen for timed in (False, True)]
    for kind, timed in runs:
        of_kind = places[kinds == kind]
        batch = of_kind.repeat(-(-at_once // len(of_kind)), 1)[:at_once]
        began = _now(images.device)
        engine.run(clear, images, torch.zeros(at_once, dtype=torch.int64), batch, unit)
        seconds = (_now(images.device) - began) / at_once
        if timed:
            yield len(of_kind), seconds


def _now(device: torch.device) -> float:
    """Return the time after waiting for all work on the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def main() -> None:
    """Estimate the sweep whose specification is on stdin."""
    os.umask(0o077)
    settle_arithmetic(load_settings({}).threads)
    device = os.environ.get("ANALYZE_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    specification = OcclusionSpecification.model_validate_json(sys.stdin.read())
    print_answer(lambda: {"estimate": estimate(specification, torch.device(device))})


if __name__ == "__main__":
    main()
