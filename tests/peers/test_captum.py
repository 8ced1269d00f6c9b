"""Comparison with Captum: a projection equals the activation times Captum's attribution."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from tests import reference
from tests.unit.unitscope.test_deconvnet import fresh, images, maps_of, relative_error
from unitscope.projection.deconvnet import Deconvnet
from unitscope.vocabulary import ProjectionMethod

SIZE = 80  # gives maps of odd size from the third stage of a ResNet on
PLACES = 3  # positions per layer

LAYERS = {
    "zfnet": ["features.0", "features.3", "features.6", "features.8", "features.10"],
    "alexnet": ["features.0", "features.3", "features.6", "features.8", "features.10"],
    "vgg11": ["features.3", "features.8", "features.13", "features.18"],
    "resnet18": [
        "layer1.0.conv1",
        "layer1.1.conv2",
        "layer2.0.conv2",
        "layer2.0.downsample.0",
        "layer3.1.conv1",
        "layer4.1.conv2",
    ],
    "regnet_y_400mf": ["trunk_output.block2.block2-0.f.b.0"],  # after squeeze-and-excitation
}
CAPTUMS = {
    "deconvnet": reference.captum_deconvolution,
    "guided": reference.captum_guided,
    "gradient": reference.captum_gradient,
}
DECONVNET = [("deconvnet", name, layer) for name, layers in LAYERS.items() for layer in layers]
# The deconvnet passes contrast normalization backward unchanged, unlike Captum, so that it can't be compared.
NORMALIZED = {"zfnet-paper": ["features.0", "features.4", "features.8", "features.12"]}
OTHERS = [
    (method, name, layer)
    for method in ("guided", "gradient")
    for name, layers in {**LAYERS, **NORMALIZED}.items()
    for layer in layers[1::2]
]


@cache
def network(name: str) -> nn.Module:
    """Build a network. Chains have no classifier, which no layer here needs (120 of VGG-11's 129 million
    weights)."""
    model = fresh(name, SIZE)
    if hasattr(model, "classifier"):
        model.classifier = nn.Identity()
    return model


def firing(maps: torch.Tensor) -> torch.Tensor:
    """Choose a unit, row and column per image: the largest activation in the first image, a large one in the
    others.

    Activations must be positive, as in a search, since the deconvnet rectifies a negative seed, and large, since
    the rounding error of a small one would scale the whole projection.
    """
    drawn = torch.Generator().manual_seed(3)
    places = []
    for number, image in enumerate(maps):
        large = (image >= image.max() * (0.1 if number else 1)).nonzero()
        places.append(large[torch.randint(len(large), (), generator=drawn)])
    return torch.stack(places)


@pytest.mark.filterwarnings("ignore:Setting backward hooks", "ignore:Input Tensor 0 did not")
@pytest.mark.parametrize(("method", "name", "layer"), DECONVNET + OTHERS)
def test_a_projection_equals_the_activation_times_captums_attribution(
    method: ProjectionMethod, name: str, layer: str
) -> None:
    model, pixels = network(name), images(PLACES, SIZE)
    places = firing(maps_of(model, layer, pixels))
    projections, _ = Deconvnet(model, layer, method).project(pixels, *places.unbind(1))
    for image, place, projection in zip(pixels, places.tolist(), projections, strict=True):
        expected = CAPTUMS[method](model, layer, image, *place)
        assert relative_error(projection, expected) < 1e-5


def test_overlapping_pools_share_switches_in_the_network() -> None:
    """Otherwise the comparison above would not cover the accumulation at shared switches."""
    model = network("zfnet")
    with torch.no_grad():
        _, switches = nn.MaxPool2d(3, 2, return_indices=True)(torch.relu(model.features[0](images(1, SIZE))))
    shared = [1 - plane.unique().numel() / plane.numel() for plane in switches[0]]
    assert np.mean(shared) > 0.1


def test_relus_are_shared_and_in_place_in_the_network() -> None:
    """Otherwise the comparison above would not cover ReLUs that run twice, as in a ResNet block."""
    model, ran = network("resnet18"), []
    relu = model.layer1[0].relu
    handle = relu.register_forward_hook(lambda module, inputs, output: ran.append(module))
    maps_of(model, "layer2.0.conv1", images(1, SIZE))
    handle.remove()
    assert ran == [relu, relu]
    assert relu.inplace
