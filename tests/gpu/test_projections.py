"""Projections: windows along a chain, and whole graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np
import pytest
import torch

from tests.gpu.networks import network, pictures
from unitscope.data.images import to_input
from unitscope.projection.choice import projector_for
from unitscope.projection.deconvnet import Deconvnet
from unitscope.projection.graph import GraphProjector
from unitscope.projection.requests import Projection, Projector, Requests
from unitscope.projection.windows import WindowProjector
from unitscope.search.search import observe
from unitscope.vocabulary import ProjectionMethod as Method

MANY = 10**6  # units that an image serves: it is run forward as a whole
ROADS = {  # network, image size, layer, units that each image serves; None: the whole graph
    "windows, images as a whole": ("zfnet-paper", 64, "features.8", MANY),
    "windows alone": ("zfnet-paper", 80, "features.4", 1),
    "windows, batch normalisation": ("cifar-cnn", 32, "features.9", 1),
    "graph of a chain": ("zfnet-paper", 64, "features.8", None),
    "graph with sums": ("residual", 64, "second.2.0", None),
}
METHODS = get_args(Method)
IMAGES, REQUESTS = 5, 20


def projector_of(road: str, method: Method, device: torch.device | str, ids: Sequence[int]) -> Projector:
    name, size, layer, served = ROADS[road]
    model = network(name, size, device)
    if served is None:
        return GraphProjector(Deconvnet(model, layer, method), device)
    found = projector_for(model, layer, size, method, dict.fromkeys(ids, served), device)
    assert isinstance(found, WindowProjector)
    return found


def requests_of(road: str) -> tuple[list[np.ndarray], Requests]:
    """Images, and units at random places of them, the corners among them."""
    name, size, layer, _ = ROADS[road]
    pixels = list(pictures(IMAGES, size))
    shape: list[tuple[int, ...]] = []
    model = network(name, size)
    with torch.inference_mode():
        image = to_input(torch.from_numpy(pixels[0]).permute(2, 0, 1)[None])
        observe(model, {layer: lambda maps: shape.append(tuple(maps.shape[1:]))}, image)
    drawn = np.random.default_rng(1)
    units, rows, cols = (drawn.integers(0, limit, REQUESTS) for limit in shape[0])
    rows[:4], cols[:4] = (0, 0, shape[0][1] - 1, shape[0][1] - 1), (0, shape[0][2] - 1, 0, shape[0][2] - 1)
    chosen = drawn.integers(0, IMAGES, REQUESTS)
    return pixels, Requests(units, chosen, chosen + 100, rows, cols)


def bits(found: dict[int, Projection]) -> dict[int, tuple[bytes, int, int, float]]:
    return {n: (p.values.tobytes(), p.top, p.left, p.activation) for n, p in found.items()}


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("method", METHODS)
def test_projections_are_those_of_the_cpu(device: torch.device, method: Method, road: str) -> None:
    pixels, requests = requests_of(road)
    found = dict(projector_of(road, method, device, requests.ids.tolist()).project(pixels, requests))
    wanted = dict(projector_of(road, method, "cpu", requests.ids.tolist()).project(pixels, requests))
    assert sorted(found) == sorted(wanted) == list(range(REQUESTS))
    largest = max(abs(projection.activation) for projection in wanted.values())
    close = 0
    for number, projection in found.items():
        expected = wanted[number]
        assert (projection.top, projection.left) == (expected.top, expected.left)
        assert projection.activation == pytest.approx(expected.activation, rel=1e-4, abs=1e-5 * largest)
        # An activation near zero is the rounded sum of larger terms, and scales its projection.
        cancelled = max(1.0, 0.1 * largest / max(abs(expected.activation), 1e-12))
        allowed = 1e-4 * cancelled * np.abs(expected.values).max() + 1e-12
        close += bool((np.abs(projection.values - expected.values) <= allowed).all())
    # Where two places of a pooling's window differ by less than rounding, the switch may fall on either.
    assert close >= 0.9 * REQUESTS


@pytest.mark.parametrize("road", ROADS)
def test_the_same_projections_have_the_same_bits(device: torch.device, road: str) -> None:
    """Pooling windows overlap: whoever adds them up in another order each time is found out. Nor do the bits
    depend on what else is projected."""
    pixels, requests = requests_of(road)
    projector = projector_of(road, "deconvnet", device, requests.ids.tolist())
    first = bits(dict(projector.project(pixels, requests)))
    again = projector_of(road, "deconvnet", device, requests.ids.tolist())
    assert bits(dict(again.project(pixels, requests))) == first
    some = np.arange(REQUESTS - 1, 0, -3)
    alone = bits(dict(again.project(pixels, requests.at(some))))
    assert {int(some[place]): found for place, found in alone.items()} == {n: first[n] for n in some.tolist()}
