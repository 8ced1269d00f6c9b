"""What a sweep is estimated to take: as its images do behind the first."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch

from shared.kinds.occlusion.specification import OcclusionSpecification
from unitscope.description import NetworkSpecification
from unitscope.networks import build as networks
from unitscope.occlusion.engines import Full
from unitscope.occlusion.incremental import Incremental
from unitscope.occlusion.occluders import Grid
from unitscope.occlusion.sweep import Sweep
from worker.kinds.occlusion.estimate import estimate, time_image

COLD = 0.5  # seconds that the first run of a shape takes more here
NOW_AND_THEN = 3  # which run of a shape is as slow again


class SlowAtFirst(Incremental):
    """An engine whose first run of each kind of places, and one later run, take long."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.runs: dict[object, int] = {}

    def _pause(self, shape: object) -> None:
        self.runs[shape] = self.runs.get(shape, 0) + 1
        if self.runs[shape] in (1, NOW_AND_THEN):
            time.sleep(COLD)

    def clear(self, images: torch.Tensor) -> Any:
        self._pause("clear")
        return super().clear(images)

    def run(self, clear: Any, filled: torch.Tensor, images: torch.Tensor, places: torch.Tensor, units: Any) -> Any:
        self._pause(int(self.kinds(places)[0]))
        return super().run(clear, filled, images, places, units)


@pytest.fixture(scope="module")
def sweep() -> Sweep:
    torch.manual_seed(0)
    model = networks.build("zfnet", 5, 64, fc=16).eval().requires_grad_(False)
    return Sweep(SlowAtFirst(model, "features.10", Grid(64, 16, 8)), together=1)


def test_what_only_the_first_runs_take_is_not_taken_for_every_image(sweep: Sweep) -> None:
    shapes = len(sweep.engine.kinds(sweep.engine.grid.all_places()).unique()) + 1
    assert shapes > 2
    first, seconds = time_image(sweep, 1)
    assert seconds < COLD
    assert (shapes - 1) * COLD < first < (shapes + 1) * COLD


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
        approximate=0.0,
        memory_mb=64,
        whole_files=False,
        positions=False,
    )
    found = estimate(specification, torch.device("cpu"))
    assert found["engine"] == Full.name
    assert found["seconds"] == pytest.approx(found["seconds_before_the_first"] + 50 * found["seconds_an_image"])
