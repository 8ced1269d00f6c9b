"""Projections on a GPU, through windows along a chain and through whole graphs."""

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

MANY = 10**6  # so many units per image that the whole image is run forward
IMPLEMENTATIONS = {  # network, image size, layer, units per image; None: the whole graph
    "windows, images as a whole": ("zfnet-paper", 64, "features.8", MANY),
    "windows alone": ("zfnet-paper", 80, "features.4", 1),
    "windows, batch normalization": ("cifar-cnn", 32, "features.9", 1),
    "graph of a chain": ("zfnet-paper", 64, "features.8", None),
    "graph with sums": ("residual", 64, "second.2.0", None),
}
METHODS = get_args(Method)
IMAGES, REQUESTS = 5, 20


def projector_of(implementation: str, method: Method, device: torch.device | str, ids: Sequence[int]) -> Projector:
    name, size, layer, served = IMPLEMENTATIONS[implementation]
    model = network(name, size, device)
    if served is None:
        return GraphProjector(Deconvnet(model, layer, method), device)
    projector = projector_for(model, layer, size, method, dict.fromkeys(ids, served), device)
    assert isinstance(projector, WindowProjector)
    return projector


def requests_of(implementation: str) -> tuple[list[np.ndarray], Requests]:
    """Return images and requests for units at random positions, including the corners."""
    name, size, layer, _ = IMPLEMENTATIONS[implementation]
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


def bits(projections: dict[int, Projection]) -> dict[int, tuple[bytes, int, int, float]]:
    return {n: (p.values.tobytes(), p.top, p.left, p.activation) for n, p in projections.items()}


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("method", METHODS)
def test_projections_equal_those_of_the_cpu(device: torch.device, method: Method, implementation: str) -> None:
    pixels, requests = requests_of(implementation)
    projections = dict(
        projector_of(implementation, method, device, requests.ids.tolist()).project(pixels, requests)
    )
    expected = dict(projector_of(implementation, method, "cpu", requests.ids.tolist()).project(pixels, requests))
    assert sorted(projections) == sorted(expected) == list(range(REQUESTS))
    largest = max(abs(projection.activation) for projection in expected.values())
    close = 0
    for number, projection in projections.items():
        reference = expected[number]
        assert (projection.top, projection.left) == (reference.top, reference.left)
        assert projection.activation == pytest.approx(reference.activation, rel=1e-4, abs=1e-5 * largest)
        # An activation near zero has a large relative rounding error, and scales its projection.
        cancelled = max(1.0, 0.1 * largest / max(abs(reference.activation), 1e-12))
        allowed = 1e-4 * cancelled * np.abs(reference.values).max() + 1e-12
        close += bool((np.abs(projection.values - reference.values) <= allowed).all())
    # Where the two largest values of a pooling window are equal up to rounding, the switch may differ.
    assert close >= 0.9 * REQUESTS


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_repeated_projections_are_bitwise_equal(device: torch.device, implementation: str) -> None:
    """Also if other projections are computed in the same call. Pooling windows overlap, so that a changing order
    of summation would show."""
    pixels, requests = requests_of(implementation)
    projector = projector_of(implementation, "deconvnet", device, requests.ids.tolist())
    first = bits(dict(projector.project(pixels, requests)))
    again = projector_of(implementation, "deconvnet", device, requests.ids.tolist())
    assert bits(dict(again.project(pixels, requests))) == first
    some = np.arange(REQUESTS - 1, 0, -3)
    alone = bits(dict(again.project(pixels, requests.at(some))))
    assert {int(some[place]): projections for place, projections in alone.items()} == {
        n: first[n] for n in some.tolist()
    }
