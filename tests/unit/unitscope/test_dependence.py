"""Receptive fields after functions, methods and modules, compared with the support of a unit's gradient."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unitscope.geometry.chains import chain
from unitscope.geometry.receptive_fields import PIXELS, Geometry, trace
from unitscope.networks import build as networks
from unitscope.occlusion.occluders import Grid
from unitscope.occlusion.reach import Graph
from unitscope.projection.choice import projector_for
from unitscope.projection.deconvnet import find_problem
from unitscope.projection.requests import Requests

SIZE = 12
Operation = Callable[[torch.Tensor], torch.Tensor]
WEIGHTS = torch.rand(3, 3, 3, 3) + 0.1


def _write(x: torch.Tensor) -> torch.Tensor:
    written = x.clone()
    written.sub_(x.mean((2, 3), keepdim=True))
    return written


def _add(x: torch.Tensor) -> torch.Tensor:
    written = x.clone()
    written.add_(F.avg_pool2d(x, 3, 1, 1))
    return written


def _add_to_view(x: torch.Tensor) -> torch.Tensor:
    written = x.clone()
    written.view(-1).add_(x.mean())
    return written


def _shift(x: torch.Tensor) -> torch.Tensor:
    shifted = x.new_zeros(1, 3, SIZE, SIZE)
    shifted.narrow(2, 1, SIZE - 1).copy_(x.narrow(2, 0, SIZE - 1))
    return shifted


class Constants(nn.Module):
    """Parameters with and without the shape of a map."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.rand(3, 1, 1)), nn.Parameter(torch.rand(1, 3, SIZE, SIZE))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale + self.shift.flip(2)


class Normalized(nn.Module):
    """Batch normalization called as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        norm = self.norm
        return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, False)


# Operations that keep the map's size but depend on other positions; with the geometry where it is known.
WIDE: dict[str, tuple[Operation | nn.Module, Geometry | None]] = {
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 3, 1, 1), Geometry(3, 1, -1)),
    "avg_pool2d by name": (lambda x: F.avg_pool2d(x, kernel_size=5, stride=1, padding=2), Geometry(5, 1, -2)),
    "max_pool2d": (lambda x: F.max_pool2d(x, 3, 1, 1), Geometry(3, 1, -1)),
    "torch.max_pool2d": (lambda x: torch.max_pool2d(x, 3, 1, 1, 1), Geometry(3, 1, -1)),
    "conv2d": (lambda x: F.conv2d(x, WEIGHTS, None, 1, 1), Geometry(3, 1, -1)),
    "conv2d same": (lambda x: F.conv2d(x, WEIGHTS, padding="same", dilation=2), Geometry(5, 1, -2)),
    "Conv2d same": (nn.Conv2d(3, 3, 3, padding="same"), Geometry(3, 1, -1)),
    "Conv2d same, even": (nn.Conv2d(3, 3, 4, padding="same"), Geometry(4, 1, -1)),
    "Conv2d reflect": (nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect"), Geometry(3, 1, -1)),
    "Conv2d circular": (nn.Conv2d(3, 3, 3, padding=1, padding_mode="circular"), None),
    "Conv2d 1x3": (nn.Conv2d(3, 3, (1, 3), padding=(0, 1)), None),
    "ConvTranspose2d": (nn.ConvTranspose2d(3, 3, 3, 1, 1), None),
    "Linear": (nn.Linear(SIZE, SIZE), None),
    "interpolate": (lambda x: F.interpolate(x, (SIZE, SIZE), mode="bicubic"), None),
    "interpolate down and up": (lambda x: F.interpolate(F.interpolate(x, (3, 3)), (SIZE, SIZE)), None),
    "pad and crop": (lambda x: F.pad(F.avg_pool2d(x, 3, 1), (1, 1, 1, 1)), Geometry(3, 1, -1)),
    "pad to one side": (lambda x: F.pad(x, (2, -2, 2, -2)), Geometry(1, 1, -2)),
    "pad to the left": (lambda x: F.pad(x, (2, -2)), None),
    "pad circular": (lambda x: F.pad(x, (1, 1, 1, 1), mode="circular")[..., :-2, :-2], None),
    "ZeroPad2d": (nn.Sequential(nn.ZeroPad2d(1), nn.AvgPool2d(3, 1)), Geometry(3, 1, -1)),
    "unfold": (lambda x: F.unfold(x, 3, padding=1).view(1, 3, 9, SIZE, SIZE).sum(2), None),
    "roll": (lambda x: x.roll(1, 2), None),
    "torch.roll": (lambda x: torch.roll(x, 1, 3), None),
    "flip": (lambda x: x.flip(3), None),
    "transpose": (lambda x: x.transpose(2, 3), None),
    "permute": (lambda x: x.permute(0, 1, 3, 2), None),
    "mT": (lambda x: x.mT + 0, None),
    "view": (lambda x: x.view(1, SIZE, 3, SIZE).transpose(1, 2), None),
    "cumsum": (lambda x: x.cumsum(-1), None),
    "sort": (lambda x: x.sort(-1)[0], None),
    "gather": (lambda x: x[:, :, torch.arange(SIZE).flip(0)], None),
    "reversed rows": (lambda x: torch.cat([x[:, :, 6:], x[:, :, :6]], 2), None),
    "softmax over columns": (lambda x: x.softmax(-1), None),
    "Softmax over rows": (nn.Softmax(2), None),
    "softmax over places": (lambda x: F.softmax(x.flatten(2), -1).view(1, 3, SIZE, SIZE), None),
    "minus the mean": (lambda x: x - x.mean((2, 3), keepdim=True), None),
    "minus the mean of all": (lambda x: x - x.mean(), None),
    "minus the mean of a row": (lambda x: x - torch.mean(x, -1, keepdim=True).expand(1, 3, SIZE, SIZE), None),
    "over the maximum": (lambda x: x / x.amax(dim=(1, 2, 3), keepdim=True), None),
    "gate": (lambda x: x * F.adaptive_avg_pool2d(x, 1).sigmoid(), None),
    "expanded gate": (lambda x: x * F.adaptive_avg_pool2d(x, 1).sigmoid().expand_as(x), None),
    "adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x, 6), Geometry(2, 2, 0)),
    "adaptive_max_pool2d": (lambda x: F.adaptive_max_pool2d(x, 7), None),
    "AdaptiveMaxPool2d": (nn.AdaptiveMaxPool2d(4), Geometry(3, 3, 0)),
    "matmul": (lambda x: x @ x, None),
    "attention": (lambda x: F.scaled_dot_product_attention(x, x, x), None),
    "fft": (lambda x: torch.fft.fft2(x).real, None),
    "group_norm": (lambda x: F.group_norm(x, 1), None),
    "GroupNorm": (nn.GroupNorm(3, 3), None),
    "InstanceNorm2d": (nn.InstanceNorm2d(3), None),
    "instance_norm": (lambda x: F.instance_norm(x), None),
    "LayerNorm": (nn.LayerNorm([3, SIZE, SIZE]), None),
    "layer_norm": (lambda x: F.layer_norm(x, (SIZE,)), None),
    "RMSNorm": (nn.RMSNorm([SIZE]), None),
    "normalize": (lambda x: F.normalize(x, dim=-1), None),
    "batch_norm of the batch": (lambda x: F.batch_norm(x, None, None, training=True), None),
    "BatchNorm2d without statistics": (nn.BatchNorm2d(3, track_running_stats=False), None),
    "glu": (lambda x: F.glu(x), None),
    "written to": (lambda x: _write(x), None),
    "added to": (lambda x: _add(x), Geometry(3, 1, -1)),
    "added to a view": (lambda x: _add_to_view(x), None),
    "written into zeros": (lambda x: _shift(x), None),
}

POINTWISE: dict[str, Operation | nn.Module] = {
    "relu": F.relu,
    "method": lambda x: x.relu().clamp(max=2).sigmoid_(),
    "gelu": F.gelu,
    "arithmetic": lambda x: (1 - x) * 2 + x**2 / 3,
    "operators in place": lambda x: operator.iadd(x.clone(), 1),
    "shape": lambda x: x * x.size(1) ** -0.5 + x.shape[-1],
    "channels": lambda x: torch.cat([x[:, 1:], x[:, :1]], 1),
    "mean of channels": lambda x: x - x.mean(1, keepdim=True),
    "softmax of channels": lambda x: x.softmax(1) + F.softmax(x, dim=-3),
    "normalize": F.normalize,
    "local_response_norm": lambda x: F.local_response_norm(x, 3),
    "dropout": lambda x: F.dropout(x, 0.5, training=False),
    "glu": lambda x: F.glu(torch.cat([x, x], 1), 1),
    "batch_norm": Normalized(),
    "parameters": Constants(),
    "BatchNorm2d": nn.BatchNorm2d(3),
    "InstanceNorm2d with statistics": nn.InstanceNorm2d(3, track_running_stats=True),
    "Softmax": nn.Softmax(1),
    "PReLU": nn.PReLU(),
    "adaptive to the same size": nn.AdaptiveAvgPool2d(SIZE),
}


class Around(nn.Module):
    """An operation, followed by a module whose description has the operation's geometry."""

    def __init__(self, operation: Operation | nn.Module) -> None:
        super().__init__()
        self.operation = operation
        self.behind = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.behind(self.operation(x))


def geometry_of(model: nn.Module, layer: str, size: int) -> Geometry | None:
    return next(traced.geometry for traced in trace(model, size).layers if traced.path == layer)


def reached(output: torch.Tensor, images: torch.Tensor, row: int, col: int) -> np.ndarray:
    """Return the pixels on which the unit at a position depends: bool [H, W]."""
    units = output[0, :, row, col]
    seed = torch.arange(1, len(units) + 1, dtype=units.dtype)
    (gradient,) = torch.autograd.grad(units, images, seed, retain_graph=True)
    return (gradient[0] != 0).any(0).numpy()


def check(geometry: Geometry, output: torch.Tensor, images: torch.Tensor, row: int, col: int) -> np.ndarray:
    """Return the pixels on which a unit depends; check that all are inside its receptive field."""
    pixels = reached(output, images, row, col)
    top, left, bottom, right = geometry.window(row, col)
    outside = pixels.copy()
    outside[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = False
    assert not outside.any()
    return pixels


@pytest.mark.parametrize("name", WIDE)
def test_operations_on_other_positions_are_not_pointwise(name: str) -> None:
    operation, expected = WIDE[name]
    model = Around(operation).eval()
    found = geometry_of(model, "behind", SIZE)
    assert found == expected
    images = torch.rand(1, 3, SIZE, SIZE, requires_grad=True)
    output = model(images)
    reaches_others = False
    for row in range(output.shape[2]):
        for col in range(output.shape[3]):
            pixels = check(found, output, images, row, col) if found else reached(output, images, row, col)
            alone = np.zeros_like(pixels)
            alone[row : row + 1, col : col + 1] = True
            reaches_others |= bool((pixels & ~alone).any())
    assert reaches_others or name == "interpolate"  # bicubic interpolation to the same size is the identity


@pytest.mark.parametrize("name", POINTWISE)
def test_pointwise_operations_keep_the_receptive_field(name: str) -> None:
    model = Around(POINTWISE[name]).eval()
    assert geometry_of(model, "behind", SIZE) == PIXELS
    images = torch.rand(1, 3, SIZE, SIZE, requires_grad=True)
    output = model(images)
    for row, col in ((0, 0), (5, 7), (SIZE - 1, SIZE - 1)):
        assert check(PIXELS, output, images, row, col).any()


def test_padding_that_copies_distant_pixels_has_no_known_geometry() -> None:
    for padding, mode in ((2, "reflect"), (2, "replicate"), (1, "circular")):
        wide = nn.Conv2d(3, 3, 3 if mode == "circular" else 2, padding=padding, padding_mode=mode)
        assert geometry_of(Around(wide), "behind", SIZE) is None
    near = nn.Conv2d(3, 3, 5, padding=2, padding_mode="reflect")
    images = torch.rand(1, 3, SIZE, SIZE, requires_grad=True)
    found, output = geometry_of(Around(near), "behind", SIZE), near(images)
    assert found == Geometry(5, 1, -2)
    for place in range(SIZE):
        check(found, output, images, place, 0)


@pytest.mark.parametrize(("name", "size"), [("inception_v3", 147), ("googlenet", 96)])
def test_units_of_torchvisions_networks_depend_on_their_receptive_fields_only(name: str, size: int) -> None:
    """With positive weights, average poolings in place of max pooling modules, and gradients in float64."""
    model = networks.build(name, 10, size)
    for module in model.modules():
        for path, child in module.named_children():
            if isinstance(child, nn.MaxPool2d):
                average = nn.AvgPool2d(child.kernel_size, child.stride, child.padding, child.ceil_mode)
                setattr(module, path, average)
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
    model.double().eval()
    layers = {t.path: t for t in trace(model.float(), size).layers if isinstance(t.module, nn.Conv2d)}
    model.double()
    outputs: dict[str, torch.Tensor] = {}

    def keep(path: str) -> Any:
        return lambda module, inputs, output: outputs.update({path: output})

    for path in layers:
        model.get_submodule(path).register_forward_hook(keep(path))
    images = torch.rand(1, 3, size, size, dtype=torch.float64, requires_grad=True)
    model(images)
    known = {path: layer.geometry for path, layer in layers.items() if layer.geometry}
    assert len(known) > 15
    assert name != "inception_v3" or known["Mixed_5b.branch_pool.conv"].size == 47
    for path, geometry in known.items():
        if path.endswith((".branch1.conv", ".branch1x1.conv")):
            continue  # to save time: the branch is like the others
        output = outputs[path]
        row, col = output.shape[2] // 2, output.shape[3] // 3
        pixels = check(geometry, output, images, row, col)
        top, left, bottom, right = geometry.window(row, col)
        rows, cols = (np.flatnonzero(pixels.any(axis)) for axis in (1, 0))
        if "Mixed_6" not in path and "Mixed_7" not in path:  # F.max_pool2d passes the gradient to the maximum only
            assert (rows[0], cols[0]) == (max(top, 0), max(left, 0)), path
            assert (rows[-1], cols[-1]) == (min(bottom, size) - 1, min(right, size) - 1), path


class Pooled(nn.Module):
    """Two convolutions with a pooling function between them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(F.avg_pool2d(self.first(x), 3, 1, 1))


def test_projections_after_a_pooling_function_pass_their_check() -> None:
    model = Pooled().eval()
    projector = projector_for(model, "second", SIZE)
    image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    one = np.array([1])
    (_, projection), *_ = projector.project([image], Requests(one, one * 0, one, one * 3, one * 4))
    geometry = geometry_of(model, "second", SIZE)
    assert geometry == Geometry(7, 1, -1)
    whole = np.zeros((3, SIZE, SIZE), np.float32)
    rows, cols = projection.values.shape[1:]
    whole[:, projection.top : projection.top + rows, projection.left : projection.left + cols] = projection.values
    assert find_problem(whole, 1.0, 1.0, 1.0, geometry.window(3, 4)) is None


def test_a_map_that_is_modified_in_place_is_no_chain_and_has_no_windows() -> None:
    class Written(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x)
            torch.sub(x, x.mean((2, 3), keepdim=True), out=x)
            return self.second(x)

    model = Written().eval().requires_grad_(False)
    assert chain(model, "second", (SIZE, SIZE)) is None
    assert geometry_of(model, "second", SIZE) is None
    with pytest.raises(ValueError, match="modifies a map in place"):
        Graph(copy.deepcopy(model), Grid(SIZE, 4, 4))


def test_a_batch_normalization_without_statistics_is_not_a_step_of_a_chain() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.Conv2d(4, 4, 3))
    assert chain(model.eval(), "2", (SIZE, SIZE)) is None
