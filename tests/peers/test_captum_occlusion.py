"""Comparison with Captum: the ``Occlusion`` attribution of a pixel equals the decrease computed from our maps.

For each position of its window, Captum computes the decrease of the output and assigns it to every pixel in the
window; a pixel's attribution is the mean over the windows that contain it (``use_weights``). Where squares don't
overlap, this is the decrease itself. At the far border, Captum truncates its window, whereas a ``Grid`` moves the
square inwards; neither happens in the grids used here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from captum.attr import Occlusion
from torch import nn

from tests.unit.unitscope.test_deconvnet import fresh
from unitscope.data.images import to_input
from unitscope.occlusion.engines import Full
from unitscope.occlusion.incremental import Incremental
from unitscope.occlusion.occluders import Grid, filling
from unitscope.occlusion.sweep import OcclusionMaps, Sweep
from unitscope.vocabulary import Fill

NETWORKS = {"zfnet": (96, "features.10"), "resnet18": (64, "layer3.1.conv2")}
PATCH = 16
UNIT = 7
TOLERANCE = 1e-5  # absolute for probabilities, relative to the unoccluded activation for activations


@cache
def network(name: str) -> nn.Module:
    """Build a network with logits of about one. With He initialization they are so large that probabilities
    saturate."""
    model, (size, _) = fresh(name, NETWORKS[name][0]), NETWORKS[name]
    with torch.no_grad():
        last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
        last.weight /= model(to_input(photos(size))).std()
    return model.to(memory_format=torch.channels_last)


def photos(size: int) -> torch.Tensor:
    """Generate three uint8 images of rectangles on noise."""
    drawn = np.random.default_rng(8)
    pixels = drawn.integers(0, 90, (3, 3, size, size))
    for image in pixels:
        for _ in range(6):
            top, left = drawn.integers(0, size - 8, 2)
            height, width = drawn.integers(8, size // 2, 2)
            image[:, top : top + height, left : left + width] = drawn.integers(0, 256, (3, 1, 1))
    return torch.from_numpy(pixels.astype(np.uint8))


def probabilities(model: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda images: model(images).double().softmax(1)


def activations(model: nn.Module, layer: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a function that computes the sum over the rectified map of each unit."""

    def forward(images: torch.Tensor) -> torch.Tensor:
        seen: list[torch.Tensor] = []
        hook = model.get_submodule(layer).register_forward_hook(
            lambda module, inputs, maps: seen.append(maps.double().clamp(min=0).sum((2, 3)))
        )
        model(images)
        hook.remove()
        return seen[0]

    return forward


@cache
def captums(name: str, fill: Fill, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Return Captum's attributions for probability and for activation, [images, rows, columns] by pixel."""
    (size, layer), model = NETWORKS[name], network(name)
    pixels = photos(size)
    filled = filling(pixels, fill, PATCH)

    def attributed(forward: Callable[[torch.Tensor], torch.Tensor], targets: list[int]) -> np.ndarray:
        window, steps = (3, PATCH, PATCH), (3, stride, stride)
        result = Occlusion(forward).attribute(
            *(to_input(pixels), window, steps, to_input(filled), targets), perturbations_per_eval=6
        )
        assert torch.equal(result, result[:, :1].expand_as(result))  # all channels are occluded together
        return result[:, 0].numpy()

    return (
        attributed(probabilities(model), targets_of(name)),
        attributed(activations(model, layer), [UNIT] * len(pixels)),
    )


def by_pixel(lost: np.ndarray, grid: Grid) -> np.ndarray:
    """Convert decreases by position to the mean over the squares that cover each pixel."""
    total, count = np.zeros((2, grid.size, grid.size))
    for row, top in enumerate(grid.starts):
        for col, left in enumerate(grid.starts):
            square = np.s_[top : top + grid.patch, left : left + grid.patch]
            total[square] += lost[row, col]
            count[square] += 1
    return total / count


def swept(name: str, engine: type[Full] | type[Incremental], fill: Fill, stride: int) -> list[OcclusionMaps]:
    size, layer = NETWORKS[name]
    model, pixels = network(name), photos(size)
    made = engine(model, layer, Grid(size, PATCH, stride))
    memory = 2 * 12 * made.bytes_per_position()  # twelve occluded images at once
    return Sweep(made, fill, unit=UNIT, memory=memory).run(pixels, targets_of(name))


@cache
def targets_of(name: str) -> list[int]:
    """Return the most probable class of each image."""
    with torch.no_grad():
        return network(name)(to_input(photos(NETWORKS[name][0]))).argmax(1).tolist()


@pytest.mark.parametrize("stride", [PATCH, PATCH // 2])
@pytest.mark.parametrize("fill", ["grey", "blur"])
@pytest.mark.parametrize("engine", [Full, Incremental])
@pytest.mark.parametrize("name", NETWORKS)
def test_captums_attribution_equals_the_mean_decrease(
    name: str, engine: type[Full] | type[Incremental], fill: Fill, stride: int
) -> None:
    of_probability, of_activation = captums(name, fill, stride)
    for number, result in enumerate(swept(name, engine, fill, stride)):
        grid = Grid(NETWORKS[name][0], PATCH, stride)
        ours = by_pixel(result.clear_probability - result.probability.astype(float), grid)
        np.testing.assert_allclose(ours, of_probability[number], rtol=0, atol=TOLERANCE)
        assert np.ptp(ours) > 1000 * TOLERANCE  # otherwise the comparison would prove nothing
        ours = by_pixel(result.clear_activation - result.activation.astype(float), grid)
        allowed = TOLERANCE * result.clear_activation
        np.testing.assert_allclose(ours, of_activation[number], rtol=0, atol=allowed)
        assert np.ptp(ours) > 1000 * allowed
