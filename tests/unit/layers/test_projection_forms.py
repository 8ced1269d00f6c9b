"""Projections of layers of all forms: against autograd, and a second implementation of the deconvnet."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

import unitscope as us
from tests.unit.layers.networks import CASES, made, pixels
from unitscope.data.images import to_input
from unitscope.errors import UnsupportedActivation
from unitscope.layers.lookup import find_layer

FC = 24


def photo(case_size: int, images: int = 1) -> np.ndarray:
    return pixels(CASES["shared"] if case_size == 32 else CASES["vit"], images)[0].permute(1, 2, 0).numpy()


def zfnet(size: int = 64) -> us.Network:
    torch.manual_seed(4)
    network = us.load_network("zfnet", size=size, classes=10, fc=FC)
    for module in network.model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.normal_(module.bias, std=0.05)  # type: ignore[arg-type]
    return network


def strongest_unit(network: us.Network, layer: str, image: np.ndarray) -> int:
    result = us.top9(network, layer, [image], projection=None, top=1)
    return int(result.maxima[0].argmax())


@torch.no_grad()
def deconvnet_by_hand(network: us.Network, last: str, image: np.ndarray, unit: int, method: str) -> np.ndarray:
    """Project a unit of a fully connected layer back, layer by layer, with transposed weights and switches."""
    model: Any = network.model
    x = to_input(torch.from_numpy(image.copy()).permute(2, 0, 1)[None], "cpu", network.mean, network.std)
    saved: list[tuple[Any, ...]] = []
    for module in [*model.features, model.avgpool, nn.Flatten(), *model.classifier]:
        before = x.shape
        if isinstance(module, nn.Conv2d):
            x = F.conv2d(x, module.weight, module.bias, module.stride, module.padding)
            saved.append(("conv", module, before))
        elif isinstance(module, nn.ReLU):
            saved.append(("relu", x > 0))
            x = x.clamp(min=0)
        elif isinstance(module, nn.MaxPool2d):
            x, switches = F.max_pool2d(x, module.kernel_size, module.stride, return_indices=True)
            saved.append(("pool", switches, before))
        elif isinstance(module, nn.AdaptiveAvgPool2d):
            x = module(x)
            saved.append(("average", before, x.shape))
        elif isinstance(module, nn.Flatten):
            x = x.flatten(1)
            saved.append(("flatten", before))
        elif isinstance(module, nn.Linear):
            x = x @ module.weight.T + module.bias
            saved.append(("linear", module))
        if module is model.get_submodule(last):
            break
    gradient = torch.zeros_like(x)
    gradient[0, unit] = x[0, unit]
    for kind, *values in reversed(saved):
        if kind == "linear":
            gradient = gradient @ values[0].weight
        elif kind == "flatten":
            gradient = gradient.reshape(values[0])
        elif kind == "average":
            gradient = _spread(gradient, *values)
        elif kind == "pool":
            flat = torch.zeros(values[1]).flatten(2)
            for channel in range(values[1][1]):  # several windows may share a switch
                flat[0, channel].index_add_(0, values[0][0, channel].flatten(), gradient[0, channel].flatten())
            gradient = flat.reshape(values[1])
        elif kind == "relu":
            gradient = gradient.clamp(min=0) * (values[0] if method == "guided" else 1)
        else:
            module, before = values
            rest = before[2] - ((gradient.shape[2] - 1) * module.stride[0] - 2 * module.padding[0])
            gradient = F.conv_transpose2d(
                gradient, module.weight, None, module.stride, module.padding, rest - module.kernel_size[0]
            )
    return gradient[0].numpy()


def _spread(gradient: torch.Tensor, before: torch.Size, after: torch.Size) -> torch.Tensor:
    """Distribute the values of an adaptive average pooling over their windows."""
    result = torch.zeros(before)
    for row in range(after[2]):
        for col in range(after[3]):
            top, bottom = row * before[2] // after[2], -(-(row + 1) * before[2] // after[2])
            left, right = col * before[3] // after[3], -(-(col + 1) * before[3] // after[3])
            share = gradient[:, :, row, col] / ((bottom - top) * (right - left))
            result[:, :, top:bottom, left:right] += share[:, :, None, None]
    return result


@pytest.mark.parametrize("method", ["deconvnet", "guided"])
@pytest.mark.parametrize(
    ("layer", "path"), [("fc6", "classifier.1"), ("fc7", "classifier.4"), ("scores", "classifier.6")]
)
def test_deconvnets_through_linear_layers(layer: str, path: str, method: Any) -> None:
    network, image = zfnet(), photo(64)
    unit = strongest_unit(network, layer, image)
    result = us.project(network, layer, unit=unit, image=image, method=method)
    expected = deconvnet_by_hand(network, path, image, unit, method)
    assert result.place is None
    assert result.window is None
    assert np.abs(expected).max() > 0
    assert np.abs(result.values - expected).max() <= 1e-5 * np.abs(expected).max()
    assert us.project(network, layer, unit=unit, image=image).method == "deconvnet"


@pytest.mark.parametrize("name", ["alexnet", "vgg11", "resnet18", "squeezenet1_1"])
def test_class_scores_of_networks_with_relus_have_a_deconvnet(name: str) -> None:
    network = us.Network(torchvision.models.get_model(name, weights=None, num_classes=5), size=64, name=name)
    layer = find_layer(network.description, "scores")
    assert layer.projection("auto") == "deconvnet"
    assert layer.form is not None
    assert layer.form.units == 5


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("vit", "encoder.layers.encoder_layer_2.mlp.1"),
        ("vit", "encoder.layers.encoder_layer_3.mlp"),
        ("vit", "heads.head"),
        ("convnext", "features.1.0.block.4"),
        ("convnext", "features.3.1"),
        ("swin", "features.1.1.mlp.1"),
        ("mobilenet", "features.0.2"),
        ("efficientnet", "classifier.1"),
        ("shared", "hidden"),
        ("shared", "relu"),
        ("several", "pair"),
        ("several", "two"),
    ],
)
def test_the_gradient_equals_that_of_autograd(name: str, layer: str) -> None:
    case = CASES[name]
    network = us.Network(made(case), size=case.size)
    image = pixels(case, 1)[0].permute(1, 2, 0).numpy()
    unit = strongest_unit(network, layer, image)
    result = us.project(network, layer, unit=unit, image=image, method="gradient")
    found: list[Any] = []
    dimensions = case.layers[layer]

    def hook(module: object, inputs: object, output: Any) -> None:
        main = output["maps"] if isinstance(output, dict) else output
        found.append(main.movedim(dimensions.index("c"), 1).flatten(2) if main.dim() > 2 else main[:, :, None])

    handle = network.model.get_submodule(layer).register_forward_hook(hook)
    given = to_input(torch.from_numpy(image.copy()).permute(2, 0, 1)[None], "cpu", network.mean, network.std)
    given = given.requires_grad_(True)
    network.model(given)
    handle.remove()
    best = found[0][0, unit].max()
    (expected,) = torch.autograd.grad(best, given)
    expected = (expected * best)[0].detach().numpy()
    assert result.activation == pytest.approx(best.item(), rel=1e-4)
    assert np.abs(expected).max() > 0
    assert np.abs(result.values - expected).max() <= 1e-4 * np.abs(expected).max()
    described = find_layer(network.description, layer)
    assert (result.place is None) == (dimensions == "nc" or (dimensions == "ntc" and described.form.place(  # type: ignore[union-attr]
        int(found[0][0, unit].argmax())
    )[0] < 0))  # fmt: skip


def test_the_method_chosen_is_that_of_the_layer() -> None:
    network = us.Network(made(CASES["shared"]), size=32)
    chosen = {path: find_layer(network.description, path).projection("auto") for path in CASES["shared"].layers}
    before = dict.fromkeys(("first", "second", "relu", "hidden"), "deconvnet")
    assert chosen == before | {"head": "gradient"}
    with pytest.raises(UnsupportedActivation, match="relu"):
        find_layer(network.description, "head").projection("guided")
    assert find_layer(network.description, "head").projection("none") is None


def test_pictures_of_tokens_are_squares_of_the_grid() -> None:
    case = CASES["vit"]
    network = us.Network(made(case), size=case.size)
    images = [image.permute(1, 2, 0).numpy() for image in pixels(case)]
    layer = "encoder.layers.encoder_layer_3.mlp"
    result = us.top9(network, layer, images, top=3)
    assert result.projection == "gradient"
    rows = result.rows()
    on_grid = {row["unit"] for row in rows if row["row"] is not None}
    of_class_token = {row["unit"] for row in rows if row["row"] is None}
    assert on_grid - of_class_token
    assert of_class_token
    for unit in ((on_grid - of_class_token).pop(), of_class_token.pop()):
        made_pictures = result._pictures([unit])[unit]
        listed = [row for row in rows if row["unit"] == unit]
        for row, patch in zip(listed, made_pictures.patches, strict=True):
            whole = images[int(row["image"].split()[-1])] if row["image"].split()[-1].isdigit() else None
            side = case.size if row["row"] is None else 16
            assert patch.shape == (side, side, 3)
            if whole is not None and row["row"] is not None:
                top, left = 16 * row["row"], 16 * row["col"]
                assert np.array_equal(patch, whole[top : top + 16, left : left + 16])
        assert result.picture(unit).width > 0
        assert result.figure(unit) is not None


def test_a_place_of_a_token_can_be_chosen() -> None:
    case = CASES["vit"]
    network = us.Network(made(case), size=case.size)
    image = pixels(case, 1)[0].permute(1, 2, 0).numpy()
    layer = "encoder.layers.encoder_layer_2.mlp.1"
    output: list[torch.Tensor] = []
    handle = network.model.get_submodule(layer).register_forward_hook(lambda m, i, o: output.append(o.detach()))
    us.top9(network, layer, [image], units=0, projection=None)
    handle.remove()
    values = output[-1][0, 1:].reshape(4, 4, -1)
    unit = int(values[2, 3].argmax())
    result = us.project(network, layer, unit=unit, image=image, place=(2, 3))
    assert result.place == (2, 3)
    assert result.window == (32, 48, 48, 64)
    assert result.activation == pytest.approx(float(values[2, 3, unit]), rel=1e-4)
    assert result.drawn().patch.shape == (16, 16, 3)
    with pytest.raises(us.UnitscopeError, match="column of place can't be 4"):
        us.project(network, layer, unit=unit, image=image, place=(0, 4))
    with pytest.raises(us.UnitscopeError, match="have no places"):
        us.project(network, "heads.head", unit=unit % 20, image=image, place=(0, 0))
