"""Estimated time of a sweep, from the images after the first."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch

from shared.kinds.occlusion.specification import OcclusionSpecification
from shared.store.store import Store
from unitscope.description import NetworkSpecification
from unitscope.networks import build as networks
from unitscope.occlusion.engines import Full
from unitscope.occlusion.incremental import Incremental
from unitscope.occlusion.occluders import Grid
from unitscope.occlusion.sweep import Sweep
from worker.kinds.occlusion.estimate import estimate, time_image
from worker.networks.build import build_network

WARM, COLD = 0.01, 0.5  # seconds of an image here, and those that the first run of a shape takes in addition
NOW_AND_THEN = 3  # which run of a shape takes as long as the first again


class SlowAtFirst(Incremental):
    """An engine whose first run of each kind of positions, and one later run, take long, by a clock of its own."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.runs: dict[object, int] = {}
        self.now = 0.0

    def _take_time(self, shape: object, images: int) -> None:
        self.runs[shape] = self.runs.get(shape, 0) + 1
        self.now += WARM * images + (COLD if self.runs[shape] in (1, NOW_AND_THEN) else 0)

    def clear(self, images: torch.Tensor) -> Any:
        self._take_time("clear", 1)
        return super().clear(images)

    def run(
        self, clear: Any, filled: torch.Tensor, images: torch.Tensor, positions: torch.Tensor, units: Any
    ) -> Any:
        self._take_time(int(self.groups(positions)[0]), len(images))
        return super().run(clear, filled, images, positions, units)


def test_one_time_costs_are_not_counted_per_image(monkeypatch: pytest.MonkeyPatch) -> None:
    model = networks.build("zfnet", 5, 64, fc=16).eval().requires_grad_(False)
    engine = SlowAtFirst(model, "features.10", Grid(64, 16, 8))
    monkeypatch.setattr(time, "perf_counter", lambda: engine.now)
    sweep = Sweep(engine, together=1)
    kinds = engine.groups(engine.grid.all_positions())
    counts = [int((kinds == kind).sum()) for kind in kinds.unique()]
    assert len(counts) > 1
    sizes = [sweep.batch_size(count) for count in counts]
    occluded = sum(-(-count // size) * size for count, size in zip(counts, sizes, strict=True))
    assert occluded >= sum(counts)
    first, seconds = time_image(sweep, 1)
    assert seconds == pytest.approx(WARM * (1 + occluded))
    assert first == pytest.approx(COLD * (1 + len(counts)))


def test_the_whole_is_the_images_and_what_comes_before_them() -> None:
    network = NetworkSpecification(name="zfnet", classes=5, image_size=64, fc=16)
    specification = OcclusionSpecification(
        dataset_id=1,
        dataset_fingerprint="0" * 64,
        split="val",
        images=list(range(50)),
        network=network,
        weights_sha256="0" * 64,
        weights_path="00/0.safetensors",
        training_job_id=None,
        layer="conv5",
        path="features.10",
        unit=None,
        target=None,
        top9_key=None,
        top9_job_id=None,
        shards=None,
        patch=16,
        stride=16,
        fill="grey",
        seed=0,
        engine="full",
        memory_mb=64,
        whole_files=False,
        positions=False,
    )
    found = estimate(build_network(specification.network, Store(Path())), specification, torch.device("cpu"))
    assert found["engine"] == Full.name
    assert found["seconds"] == pytest.approx(found["seconds_before_the_first"] + 50 * found["seconds_an_image"])
