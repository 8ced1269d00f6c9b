"""Identities of projections. Comparisons with Captum are in tests/peers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from unitscope.errors import UnsupportedActivation
from unitscope.geometry.receptive_fields import trace
from unitscope.networks import build as networks
from unitscope.networks.initialization import initialize
from unitscope.projection.deconvnet import Deconvnet, find_problem
from unitscope.search.search import observe

SIZE = 127


def fresh(name: str, size: int = SIZE) -> nn.Module:
    """Build a network with He initialization, so that units of all layers are active."""
    torch.manual_seed(11)
    model = networks.build(name, classes=10, image_size=size, fc=16 if name.startswith("zfnet") else None)
    initialize(model, "he")
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return model.eval()


def images(count: int, size: int = SIZE, seed: int = 5) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def maps_of(model: nn.Module, layer: str, pixels: torch.Tensor) -> torch.Tensor:
    seen: list[torch.Tensor] = []
    with torch.no_grad():
        observe(model, {layer: lambda output: seen.append(output.clone())}, pixels)
    return seen[0]


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return ((found - expected).abs().max() / expected.abs().max()).item()


@pytest.mark.parametrize("name", ["zfnet", "zfnet-paper", "alexnet", "resnet18"])
def test_a_layer_1_projection_is_its_activation_times_the_filter(name: str) -> None:
    model, pixels = fresh(name), images(1)
    layer = "conv1" if name == "resnet18" else "features.0"
    convolution = model.get_submodule(layer)
    unit, row, col = torch.tensor([5]), torch.tensor([12]), torch.tensor([10])
    projections, activations = Deconvnet(model, layer).project(pixels, unit, row, col)
    kernel, stride, padding = convolution.kernel_size[0], convolution.stride[0], convolution.padding[0]
    top, left = 12 * stride - padding, 10 * stride - padding
    window = projections[0, :, top : top + kernel, left : left + kernel]
    assert torch.allclose(window, activations[0] * convolution.weight[5], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["zfnet", "zfnet-paper", "alexnet", "resnet18"])
def test_projections_scale_with_their_seed(name: str) -> None:
    """deconv(c x seed) = c x deconv(seed): scaling the layer's own weights scales the activation alone."""
    model, pixels = fresh(name), images(1)
    layer = "layer2.0.conv1" if name == "resnet18" else "features.3" if name != "zfnet-paper" else "features.4"
    place = (torch.tensor([1]), torch.tensor([3]), torch.tensor([4]))
    deconvnet = Deconvnet(model, layer)
    run = deconvnet.forward(pixels)
    projection, activation = run.project(*place)
    seed = torch.zeros_like(run.maps)
    seed[0, 1, 3, 4] = 3 * activation[0]
    (tripled,) = torch.autograd.grad(run.maps, run.images, seed)
    assert relative_error(tripled, 3 * projection) < 1e-6


LAYERS = {
    "zfnet": ["features.0", "features.3", "features.6", "features.10"],
    "zfnet-paper": ["features.4", "features.12"],
    "alexnet": ["features.3", "features.10"],
    "vgg11": ["features.3", "features.11"],
    "resnet18": ["conv1", "layer1.1.conv2", "layer2.0.downsample.0", "layer3.0.conv1"],
}


@pytest.mark.parametrize(("name", "layer"), [(name, layer) for name in LAYERS for layer in LAYERS[name]])
def test_support_lies_inside_the_receptive_field(name: str, layer: str) -> None:
    model, pixels = fresh(name), images(3)
    traced = next(found for found in trace(model, SIZE).layers if found.path == layer)
    assert traced.geometry
    _, rows, columns = traced.output_shape
    places = torch.tensor([[0, 0], [rows // 2, columns // 3], [rows - 1, columns - 1]])
    units = torch.stack([maps_of(model, layer, pixels)[i, :, r, c].argmax() for i, (r, c) in enumerate(places)])
    projections, activations = Deconvnet(model, layer).project(pixels, units, places[:, 0], places[:, 1])
    for projection, activation, (row, col) in zip(
        projections.numpy(), activations.tolist(), places.tolist(), strict=True
    ):
        window = traced.geometry.window(row, col)
        assert find_problem(projection, activation, activation, activation, window) is None


@pytest.mark.parametrize("name", ["zfnet", "resnet18"])
def test_many_units_in_one_batch_are_the_same_as_one_at_a_time(name: str) -> None:
    model = fresh(name)
    layer = "features.6" if name == "zfnet" else "layer2.1.conv2"
    pixels = images(4)
    units, rows, cols = torch.tensor([0, 7, 3, 7]), torch.tensor([1, 2, 3, 4]), torch.tensor([4, 3, 2, 1])
    deconvnet = Deconvnet(model, layer)
    together, _ = deconvnet.project(pixels, units, rows, cols)
    for i in range(4):
        alone, _ = deconvnet.project(pixels[i : i + 1], units[i : i + 1], rows[i : i + 1], cols[i : i + 1])
        assert relative_error(together[i], alone[0]) < 1e-5


def test_contrast_normalization_passes_back_unchanged() -> None:
    model, pixels = fresh("zfnet-paper"), images(1)
    without = fresh("zfnet-paper")
    without.features[3] = nn.Identity()
    # With the same switches and seed, the backward pass of the normalization is the identity.
    with_norm = Deconvnet(model, "features.3").model.features[3]
    values = torch.rand(1, 96, 5, 5, requires_grad=True)
    seed = torch.rand(1, 96, 5, 5)
    (back,) = torch.autograd.grad(with_norm(values), values, seed)
    assert torch.equal(back, seed)
    assert torch.equal(with_norm(values), model.features[3](values))
    assert maps_of(model, "features.4", pixels).ne(maps_of(without, "features.4", pixels)).any()


def test_the_network_itself_is_not_modified() -> None:
    model, pixels = fresh("alexnet"), images(1)
    before = model(pixels)
    place = (torch.tensor([0]), torch.tensor([0]), torch.tensor([0]))
    Deconvnet(model, "features.3").project(pixels, *place)
    assert torch.equal(model(pixels), before)
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(
    ("name", "layer", "module"),
    [("densenet121", "features.transition1.conv", None), ("googlenet", "conv2.conv", "conv1"),
     ("efficientnet_b0", "features.1.0.block.0.0", "features.0.2")],
)  # fmt: skip
def test_a_functional_activation_is_refused_with_its_module(name: str, layer: str, module: str | None) -> None:
    model = torchvision.models.get_model(
        name, weights=None, **({"init_weights": False} if name == "googlenet" else {})
    )
    deconvnet = Deconvnet(model, layer)
    place = (torch.tensor([0]), torch.tensor([1]), torch.tensor([1]))
    if module is None:  # activations before this layer are modules
        projections, _ = deconvnet.project(images(1, 64), *place)
        assert projections.any()
        return
    with pytest.raises(UnsupportedActivation) as caught:
        deconvnet.project(images(1, 64), *place)
    assert caught.value.details["module"] == module


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda p: np.where(p == p.max(), np.nan, p), "not finite"),
        (lambda p: p + 1e-3, "outside the receptive field"),
    ],
)
def test_a_wrong_projection_is_detected(spoil: object, reason: str) -> None:
    projection = np.zeros((3, 20, 20), np.float32)
    projection[:, 4:9, 6:11] = 0.5
    window = (4, 6, 9, 11)
    assert find_problem(projection, 2.0, 2.0, 5.0, window) is None
    assert reason in (find_problem(spoil(projection), 2.0, 2.0, 5.0, window) or "")  # type: ignore[operator]
    assert "was recorded" in (find_problem(projection, 2.01, 2.0, 5.0, window) or "")
