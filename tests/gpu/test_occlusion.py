"""Occlusion sweeps on a GPU."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
import torch

from tests.gpu.devices import SHARES, Device
from tests.gpu.networks import CLASSES, network, pictures
from unitscope.occlusion.engines import Engine, Full
from unitscope.occlusion.incremental import Incremental
from unitscope.occlusion.occluders import Fill, Grid
from unitscope.occlusion.sweep import OcclusionMaps, Sweep

SIZE = 64
GRID = Grid(SIZE, 16, 12)
ENGINES = {"full": Full, "incremental": Incremental}
NETWORKS = {"zfnet": "features.8", "residual": "second.0.0"}


def pixels_of(count: int, size: int = SIZE) -> torch.Tensor:
    return torch.from_numpy(pictures(count, size)).permute(0, 3, 1, 2)


def sweep_of(name: str, engine: str, device: torch.device | str, grid: Grid = GRID, **options: Any) -> Sweep:
    model = network(name, grid.size, device)
    made: Engine = ENGINES[engine](model, NETWORKS[name], grid)
    return Sweep(made, device=device, **{"memory": 2**22, **options})


def run(sweep: Sweep, images: int = 2, **options: Any) -> list[OcclusionMaps]:
    return sweep.run(pixels_of(images, sweep.engine.grid.size), [n % CLASSES for n in range(images)], **options)


def arrays(maps: OcclusionMaps) -> list[np.ndarray]:
    numbers = np.array([maps.clear_activation, maps.clear_probability, maps.unit, maps.clear_class])
    return [maps.activation, maps.probability, maps.classes, maps.computed, numbers]


def bits(actual: list[OcclusionMaps]) -> list[bytes]:
    return [array.tobytes() for maps in actual for array in arrays(maps)]


def assert_close(actual: list[OcclusionMaps], expected: list[OcclusionMaps]) -> None:
    for one, other in zip(actual, expected, strict=True):
        assert (one.unit, one.clear_class) == (other.unit, other.clear_class)
        np.testing.assert_array_equal(one.computed, other.computed)
        activation = 1e-4 * float(other.activation.max())
        np.testing.assert_allclose(one.activation, other.activation, rtol=1e-4, atol=activation)
        np.testing.assert_allclose(one.probability, other.probability, rtol=1e-3, atol=1e-5)
        assert one.clear_activation == pytest.approx(other.clear_activation, rel=1e-4)
        assert one.clear_probability == pytest.approx(other.clear_probability, rel=1e-3)
        assert (one.classes == other.classes).mean() >= 0.95


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["zfnet", "residual"])
def test_maps_equal_those_of_the_cpu(device: torch.device, name: str, engine: str) -> None:
    assert_close(run(sweep_of(name, engine, device, target=2)), run(sweep_of(name, engine, "cpu", target=2)))


@pytest.mark.parametrize("fill", get_args(Fill))
def test_maps_of_every_fill_equal_those_of_the_cpu(device: torch.device, fill: Fill) -> None:
    actual, expected = (run(sweep_of("zfnet", "full", where, fill=fill, unit=3), 1) for where in (device, "cpu"))
    assert_close(actual, expected)


@pytest.mark.parametrize("engine", ENGINES)
def test_repeated_sweeps_are_bitwise_equal(device: torch.device, engine: str) -> None:
    sweep = sweep_of("zfnet", engine, device)
    actual = bits(run(sweep))
    assert bits(run(sweep_of("zfnet", engine, device))) == actual
    alone = [sweep.run(pixels_of(2)[number : number + 1], [number])[0] for number in range(2)]
    assert bits(alone) == actual


@pytest.mark.parametrize("engine", ENGINES)
def test_a_sweep_stays_within_its_memory(gpu: Device, engine: str) -> None:
    """The limit is for tensors. cuDNN's workspaces, whose size can't be known in advance, are allowed in
    addition."""
    grid = Grid(96, 24, 24)
    made = sweep_of("zfnet", engine, gpu.device, grid).engine
    for images in (2, 5):  # numbers of images that just fit
        memory = max(2 * images * made.bytes_per_clear_image(), 4 * made.bytes_per_position())
        sweep = sweep_of("zfnet", engine, gpu.device, grid, memory=memory)
        assert sweep.at_once > 1
        assert sweep.images_at_once >= images
        if gpu.fake_cuda is None:
            run(sweep, images)  # allocates the workspaces of the libraries
        with gpu.measured() as peak:
            run(sweep, images)
        assert peak.allocated <= memory + (0 if gpu.fake_cuda else WORKSPACE)


WORKSPACE = 2**25


@pytest.mark.parametrize("engine", ENGINES)
def test_when_memory_runs_out_a_sweep_runs_fewer_images_at_once(gpu: Device, engine: str) -> None:
    smaller: list[int] = []
    options = {"memory": 2**28, "together": 3, "on_smaller": smaller.append}
    grid = Grid(*gpu.scaled((64, 16, 6), (224, 32, 12)))  # the CUDA allocator reserves at least 20 MiB at a time
    sweep = sweep_of("zfnet", engine, gpu.device, grid, **options)
    at_once = sweep.at_once
    run(sweep, 1)
    with gpu.measured() as peak:
        expected = run(sweep, 1)
    assert not smaller
    for share in SHARES:
        with gpu.limited(share * peak.reserved):
            actual = run(sweep, 1)
        if smaller:
            break
    assert smaller
    assert smaller[0] == at_once // 2
    assert_close(actual, expected)
