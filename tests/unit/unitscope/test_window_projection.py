"""Projections in windows equal those of the whole network."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from unitscope.data.images import to_input
from unitscope.geometry.chains import chain, window_sizes
from unitscope.networks import build as networks
from unitscope.networks.initialization import initialize
from unitscope.projection.choice import projector_for
from unitscope.projection.deconvnet import Deconvnet
from unitscope.projection.graph import GraphProjector
from unitscope.projection.requests import Projection, Requests
from unitscope.projection.windows import WindowProjector
from unitscope.vocabulary import ProjectionMethod

MANY = 10**6  # units of an image, so that whole maps are computed


def images(count: int, size: int, seed: int = 0) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8))


def requests(count: int, images: int, shape: tuple[int, ...], seed: int = 0) -> Requests:
    """Draw requests for random units and positions, including the corners."""
    random = np.random.default_rng(seed)
    units, rows, cols = (random.integers(0, limit, count) for limit in shape)
    rows[:4], cols[:4] = (0, 0, shape[1] - 1, shape[1] - 1), (0, shape[2] - 1, 0, shape[2] - 1)
    chosen = random.integers(0, images, count)
    return Requests(units, chosen, chosen + 100, rows, cols)


def maps_of(model: nn.Module, layer: str, pixels: list[np.ndarray]) -> torch.Tensor:
    return Deconvnet(model, layer, "gradient").forward(batch(pixels)).maps


def batch(pixels: list[np.ndarray]) -> torch.Tensor:
    return to_input(torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2))


def on_image(projection: Projection, size: int) -> np.ndarray:
    """Paste a projection into an image; check that it is zero outside."""
    found = np.zeros((3, size, size), np.float32)
    _, height, width = projection.values.shape
    rows, cols = projection.top + np.arange(height), projection.left + np.arange(width)
    fits = ((rows >= 0) & (rows < size))[:, None] & ((cols >= 0) & (cols < size))
    row, col = fits.nonzero()
    found[:, rows[row], cols[col]] = projection.values[:, row, col]
    assert np.count_nonzero(found) == np.count_nonzero(projection.values)
    return found


def assert_as_the_whole_network(
    model: nn.Module,
    layer: str,
    pixels: list[np.ndarray],
    requested: Requests,
    method: ProjectionMethod,
    served: int,
) -> None:
    size = len(pixels[0])
    steps = chain(model, layer, (size, size))
    assert steps is not None
    projector = WindowProjector(steps, method, dict.fromkeys(requested.ids.tolist(), served))
    found = dict(projector.project(pixels, requested))
    assert sorted(found) == list(range(len(requested.units)))
    of_request = batch([pixels[image] for image in requested.images])
    places = (torch.from_numpy(values) for values in (requested.units, requested.rows, requested.cols))
    run = Deconvnet(model, layer, method).forward(of_request)
    expected, activations = run.project(*places)
    for number, projection in found.items():
        whole = expected[number].numpy()
        # An activation near zero is a sum of larger terms with their rounding, and scales the projection.
        cancelled = max(1.0, float(run.maps.detach().abs().max() / activations[number].abs()))
        allowed = 2e-5 * cancelled * abs(whole).max() + 1e-12
        np.testing.assert_allclose(on_image(projection, size), whole, rtol=0, atol=allowed)
        assert projection.activation == pytest.approx(float(activations[number]), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "size", "method", "served"),
    [
        *(("zfnet", 95, "deconvnet", served) for served in (1, MANY)),
        *(("zfnet-paper", 96, method, 1) for method in get_args(ProjectionMethod)),
        *(("alexnet", 96, "deconvnet", served) for served in (1, MANY)),
        *(("cifar-cnn", 32, method, MANY) for method in get_args(ProjectionMethod)),
        ("vgg11_bn", 32, "deconvnet", 1),
    ],
)
def test_every_layer_of_a_chain(name: str, size: int, method: ProjectionMethod, served: int) -> None:
    torch.manual_seed(0)
    model = networks.build(name, 5, size, fc=8 if name.startswith("zfnet") else None).eval()
    if name in ("alexnet", "vgg11_bn"):
        model.classifier = nn.Identity()  # tens of millions of parameters after the last convolution
    initialize(model, "he")
    for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.running_mean.normal_(), norm.running_var.uniform_(0.5, 2), norm.weight.data.uniform_(-1, 2)
    model = model.to(memory_format=torch.channels_last)
    pixels = images(3, size)
    for layer in (path for path, module in model.named_modules() if isinstance(module, nn.Conv2d)):
        shape = tuple(maps_of(model, layer, pixels[:1]).shape[1:])
        assert_as_the_whole_network(model, layer, pixels, requests(7, 3, shape), method, served)


KERNEL = st.integers(1, 4)


@st.composite
def stages(draw: st.DrawFn) -> list[nn.Module]:
    """Draw a convolution and the modules after it."""
    kernel, stride, dilation = draw(KERNEL), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    padding = draw(st.integers(0, 3))
    channels = draw(st.sampled_from([2, 4]))
    found: list[nn.Module] = [nn.LazyConv2d(channels, kernel, stride, padding, dilation, bias=draw(st.booleans()))]
    if draw(st.booleans()):
        norm = nn.BatchNorm2d(channels)
        norm.running_var.uniform_(0.5, 2)
        found.append(norm)
    found.append(draw(st.sampled_from([nn.ReLU(inplace=True), nn.ReLU6()])))
    pool, step = draw(st.integers(2, 3)), draw(st.integers(1, 3))
    pad = draw(st.integers(0, pool // 2))
    match draw(st.integers(0, 3)):
        case 0:
            found.append(nn.MaxPool2d(pool, step, pad, ceil_mode=draw(st.booleans())))
        case 1:
            found.append(nn.AvgPool2d(pool, step, pad))
        case 2:
            found.append(nn.LocalResponseNorm(3, alpha=0.1))
    return found


@settings(max_examples=40, deadline=None)
@given(
    st.lists(stages(), min_size=1, max_size=2),
    KERNEL,
    st.integers(0, 2),
    st.sampled_from(get_args(ProjectionMethod)),
    st.sampled_from([1, MANY]),
    st.integers(0, 2**31),
)
def test_any_chain(
    before: list[list[nn.Module]], kernel: int, padding: int, method: ProjectionMethod, served: int, seed: int
) -> None:
    torch.manual_seed(seed)
    last = nn.LazyConv2d(3, kernel, padding=padding)
    model = nn.Sequential(*(module for stage in before for module in stage), last)
    pixels = images(2, 31, seed)
    try:
        model(batch(pixels))  # initializes lazy modules
    except RuntimeError:
        return  # the maps are too small for a module
    layer = str(len(model) - 1)
    shape = tuple(maps_of(model.eval(), layer, pixels[:1]).shape[1:])
    assert_as_the_whole_network(model, layer, pixels, requests(6, 2, shape, seed), method, served)


@pytest.mark.parametrize("served", [1, MANY])
@pytest.mark.parametrize("network", ["zfnet", "resnet18"])
def test_bits_do_not_depend_on_the_other_requests(network: str, served: int) -> None:
    torch.manual_seed(0)
    model = networks.build(network, 5, 96).eval().to(memory_format=torch.channels_last)
    layer = "features.6" if network == "zfnet" else "layer2.0.conv1"
    pixels = images(11, 96)
    shape = tuple(maps_of(model, layer, pixels[:1]).shape[1:])
    requested = requests(90, 11, shape)
    projector = projector_for(model, layer, 96, counts=dict.fromkeys(requested.ids.tolist(), served))
    together = dict(projector.project(pixels, requested))
    for some in (np.arange(0, 90, 7), np.array([3]), np.arange(89, 40, -1)):
        for place, projection in projector.project(pixels, requested.at(some)):
            expected = together[int(some[place])]
            assert projection.values.tobytes() == expected.values.tobytes()
            assert projection.activation == expected.activation


def test_a_window_is_the_receptive_field() -> None:
    model = networks.build("zfnet-paper", 5, 224).eval()
    layers = [path for path, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    fields = [window_sizes(chain(model, layer, (224, 224)) or [])[0] for layer in layers]
    assert fields == [(side, side) for side in (7, 27, 75, 107, 139)]  # as in the paper


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(x)))


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.relu = (
            nn.Conv2d(3, 4, 3),
            nn.Conv2d(4, 4, 3, padding=1),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.first(x))
        return x + self.relu(self.second(x))


class Overwritten(Shared):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        self.relu(x)
        return self.second(x)


@pytest.mark.parametrize(
    ("model", "layer", "kind"),
    [
        (torchvision.models.resnet18(), "conv1", WindowProjector),  # directly after the input
        (torchvision.models.resnet18(), "layer1.0.conv1", WindowProjector),  # the shortcut is beside the chain
        (torchvision.models.resnet18(), "layer1.1.conv1", GraphProjector),
        (Functional(), "first", WindowProjector),
        (Functional(), "second", GraphProjector),  # which raises UnsupportedActivation
        (Shared(), "second", WindowProjector),
        (Overwritten(), "second", GraphProjector),  # reads a map that was modified in place
        (nn.Sequential(nn.Conv2d(3, 4, 3, padding="same"), nn.ReLU(), nn.Conv2d(4, 4, 3)), "2", GraphProjector),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.Conv2d(4, 4, 3)), "2", GraphProjector),
    ],
)
def test_layers_of_chains_use_windows_and_others_the_graph(model: nn.Module, layer: str, kind: Any) -> None:
    assert isinstance(projector_for(model.eval(), layer, 64), kind)
