"""Small networks whose activations are written in the ways in which people write them."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch.utils.checkpoint import checkpoint
from torchvision.ops import FrozenBatchNorm2d

Activation = Callable[[torch.Tensor], torch.Tensor]
SIZE = 24


class Network(nn.Module):
    """Two convolutions with an activation in between, and a shortcut."""

    def __init__(self, activation: Activation) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.last = nn.Conv2d(6, 6, 3)
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.activation(self.first(x))
        return self.last(x + self.second(x))


def network(activation: Activation) -> nn.Module:
    torch.manual_seed(0)
    model = Network(activation)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    return model.eval()


def _indexed(x: torch.Tensor) -> torch.Tensor:
    x = x.clone()
    x[x < 0] = 0
    return x


def _through_a_view(x: torch.Tensor) -> torch.Tensor:
    x[:, :3].clamp_(min=0)
    return x


def _data(x: torch.Tensor) -> torch.Tensor:
    x = x.clone()
    x.data.clamp_(min=0)
    return x


def _out(x: torch.Tensor) -> torch.Tensor:
    rectified = torch.zeros_like(x)
    with torch.no_grad():
        torch.clamp(x, min=0, out=rectified)
    return x * rectified.bool()


def _numpy(x: torch.Tensor) -> torch.Tensor:
    mask = torch.from_numpy((x.detach().numpy() > 0).astype("float32"))
    return x * mask


def _looped(x: torch.Tensor) -> torch.Tensor:
    return torch.stack([torch.where(image > 0, image, torch.zeros_like(image)) for image in x])


class _Own(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: object, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


class _Reversed(torch.autograd.Function):
    """A linear function with another backward pass."""

    @staticmethod
    def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: object, gradient: torch.Tensor) -> torch.Tensor:
        return -gradient


def _without_gradient(x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        half = x / 2
    return x + half


class Shifted(nn.ReLU):
    """A subclass of ReLU with its own forward pass."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x + 0.1).clamp(min=0)


class Swish(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(x)


def _patched() -> nn.Module:
    relu = nn.ReLU()
    relu.forward = lambda x: F.leaky_relu(x, 0.2)  # type: ignore[method-assign]
    return relu


class NormalizedAndRectified(nn.BatchNorm2d):
    """Batch normalization with its activation, as libraries of networks have it."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__(6)
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.activation(super().forward(x))


class Standardized(nn.Conv2d):
    """A convolution with standardized weights."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight / weight.std((1, 2, 3), keepdim=True), self.bias, 1, 1)


class Both(nn.Module):
    """A ReLU of the maps and of their negatives."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.relu(x[:, :3]), self.relu(-x[:, :3])], 1)


# Name of the activation: the activation, and the operation that the error names.
UNSUPPORTED: dict[str, tuple[Activation, str]] = {
    "F.relu": (F.relu, "relu"),
    "x.relu_()": (lambda x: x.relu_(), "relu"),
    "clamp": (lambda x: x.clamp(min=0), "clamp"),
    "clamp_": (lambda x: x.clamp_(0), "clamp"),
    "clamp_min": (lambda x: torch.clamp_min(x, 0), "clamp_min"),
    "clip": (lambda x: x.clip(0, 6), "clamp"),
    "clamp into out": (_out, "clamp"),
    "clamp of data": (_data, "clamp"),
    "clamp of a view": (_through_a_view, "clamp"),
    "maximum": (lambda x: torch.maximum(x, torch.zeros_like(x)), "maximum"),
    "max": (lambda x: torch.max(x, torch.tensor(0.0, device=x.device)), "maximum"),
    "fmax": (lambda x: torch.fmax(x, torch.zeros_like(x)), "fmax"),
    "amax of a stack": (lambda x: torch.stack([x, torch.zeros_like(x)]).amax(0), "amax"),
    "mask": (lambda x: x * (x > 0), "gt"),
    "mask, detached": (lambda x: x * (x.detach() > 0).float(), "gt"),
    "mask, not negative": (lambda x: x * ~(x < 0), "lt"),
    "mask from NumPy": (_numpy, "numpy"),
    "heaviside": (lambda x: x * torch.heaviside(x.detach(), torch.zeros(1, device=x.device)), "heaviside"),
    "sign": (lambda x: x * (x.sign() + 1) / 2, "sign"),
    "threshold": (lambda x: F.threshold(x, 0, 0), "threshold"),
    "nn.Threshold": (nn.Threshold(0.1, 0), "threshold"),
    "half of x + |x|": (lambda x: (x + x.abs()) / 2, "abs"),
    "half of x + sqrt(x^2)": (lambda x: (x + x.square().sqrt()) / 2, "pow"),
    "where": (lambda x: torch.where(x > 0, x, torch.zeros_like(x)), "gt"),
    "where, image by image": (_looped, "gt"),
    "x[x < 0] = 0": (_indexed, "lt"),
    "masked_fill": (lambda x: x.masked_fill(x < 0, 0), "lt"),
    "masked_fill_": (lambda x: x.masked_fill_(x <= 0, 0), "le"),
    "nn.Hardtanh": (nn.Hardtanh(0, 6), "hardtanh"),
    "F.hardtanh": (lambda x: F.hardtanh(x, 0, 6), "hardtanh"),
    "F.relu6": (F.relu6, "hardtanh"),
    "F.leaky_relu": (F.leaky_relu, "leaky_relu"),
    "nn.PReLU": (nn.PReLU(), "prelu_kernel"),
    "own autograd function": (_Own.apply, "clamp"),
    "linear autograd function": (_Reversed.apply, "no_grad"),
    "a part without gradient": (_without_gradient, "no_grad"),
    "subclass of ReLU": (Shifted(), "clamp"),
    "patched ReLU": (_patched(), "leaky_relu"),
    "unregistered ReLU": ((nn.ReLU(),)[0].forward, "relu"),
    "nn.SiLU": (nn.SiLU(), "silu"),
    "x * sigmoid(x)": (Swish(), "sigmoid"),
    "nn.Hardswish": (nn.Hardswish(), "hardswish"),
    "nn.GELU": (nn.GELU(), "gelu"),
    "nn.Mish": (nn.Mish(), "mish"),
    "nn.ELU": (nn.ELU(), "elu"),
    "nn.Sigmoid": (nn.Sigmoid(), "sigmoid"),
    "nn.Tanh": (nn.Tanh(), "tanh"),
    "nn.Softplus": (nn.Softplus(), "softplus"),
    "GELU by erf": (lambda x: x * (1 + torch.erf(x / 2**0.5)) / 2, "erf"),
    "quick GELU": (lambda x: x * torch.sigmoid(1.7 * x), "sigmoid"),
    "vmap": (lambda x: torch.vmap(lambda image: image.clamp(min=0))(x), "clamp"),
    "x - minimum": (lambda x: x - torch.minimum(x, torch.zeros_like(x)), "minimum"),
    "maxout": (lambda x: torch.cat([x, -x], 1).unflatten(1, (6, 2)).max(2).values, "max"),
    "largest values": (lambda x: x * (x >= x.flatten(2).topk(50).values[..., -1:, None]), "topk"),
    "generalized mean": (lambda x: F.avg_pool2d(x.clamp(min=1e-6) ** 3, 3, 1, 1) ** (1 / 3), "clamp"),
    "attention by a maximum": (lambda x: x * x.amax(1, keepdim=True).sigmoid(), "amax"),
    "ReLU of a normalization": (NormalizedAndRectified(nn.LeakyReLU()), "leaky_relu"),
    "contrast normalization by function": (lambda x: F.local_response_norm(x, 3), "mul"),
    "gated unit": (lambda x: F.glu(torch.cat([x, x], 1), 1), "glu"),
    "product of maps": (lambda x: x * x, "mul"),
    "attention over positions": (lambda x: x.flatten(2).softmax(-1).view_as(x), "softmax"),
    "a gate, added": (lambda x: x + x.mean((2, 3), keepdim=True).sigmoid(), "sigmoid"),
    "a hard gate": (lambda x: x * (x.mean((2, 3), keepdim=True) > 0), "gt"),
    "a rectified gate": (lambda x: x * F.relu(x.mean((2, 3), keepdim=True)), "relu"),
    "rounding": (lambda x: torch.div(x, 0.1, rounding_mode="floor"), "div"),
    "whole numbers": (lambda x: x + 0 * x.int(), "to_copy"),
}


class Excited(nn.Module):
    """A ReLU, and squeeze-and-excitation."""

    def __init__(self, in_place: bool = False) -> None:
        super().__init__()
        self.relu, self.inner, self.in_place = nn.ReLU(), nn.ReLU(), in_place
        self.down, self.up = nn.Conv2d(6, 2, 1), nn.Conv2d(2, 6, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(x)
        gate = self.up(self.inner(self.down(F.adaptive_avg_pool2d(x, 1))))
        return x.mul_(gate.sigmoid_()) if self.in_place else x * torch.sigmoid(gate)


def after_relu(operation: Activation) -> Activation:
    return nn.Sequential(nn.ReLU(), Operation(operation))


class Operation(nn.Module):
    def __init__(self, operation: Activation) -> None:
        super().__init__()
        self.operation = operation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.operation(x)


def _branching(x: torch.Tensor) -> torch.Tensor:
    if not bool(x.isfinite().all()) or x.abs().max() > 1e9:
        raise ValueError("values out of range")
    return x * 2


def _channel_attention(x: torch.Tensor) -> torch.Tensor:
    means = x.mean((2, 3))[:, None]
    gate = F.conv1d(means, torch.ones(1, 1, 3, device=x.device), padding=1).sigmoid()
    return x * gate.view(-1, 6, 1, 1).expand_as(x)


def _automatically_cast(x: torch.Tensor) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return F.conv2d(x, torch.ones(6, 6, 1, 1, device=x.device)).float()


def _unpooled(x: torch.Tensor) -> torch.Tensor:
    pooled, switches = F.max_pool2d(x, 2, return_indices=True)
    return F.max_unpool2d(pooled, switches, 2)


# Through these, a deconvnet projects with their derivative.
SUPPORTED: dict[str, Activation] = {
    "ReLU": nn.ReLU(),
    "ReLU, in place": nn.ReLU(inplace=True),
    "ReLU6": nn.ReLU6(),
    "no activation": lambda x: x,
    "parts": after_relu(lambda x: torch.cat([x[:, 3:] * 0.5, x.flip(1)[:, :3] - 1], 1)),
    "channel shuffle": after_relu(lambda x: x.view(-1, 2, 3, *x.shape[2:]).transpose(1, 2).reshape(x.shape)),
    "padding and pooling": after_relu(lambda x: F.avg_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 1)),
    "max pooling": after_relu(lambda x: F.max_pool2d(x, 3, 1, 1)),
    "unpooling": after_relu(_unpooled),
    "pooling and interpolation": after_relu(lambda x: F.interpolate(F.avg_pool2d(x, 2), scale_factor=2.0)),
    "written into zeros": after_relu(lambda x: torch.zeros_like(x).copy_(x)),
    "constants": after_relu(lambda x: x.masked_fill(torch.eye(SIZE, device=x.device) > 0, 0) / 3),
    "batch normalization": nn.Sequential(nn.BatchNorm2d(6), nn.ReLU()),
    "group normalization": nn.Sequential(nn.GroupNorm(2, 6), nn.ReLU()),
    "layer normalization": after_relu(lambda x: F.layer_norm(x.permute(0, 2, 3, 1), (6,)).permute(0, 3, 1, 2)),
    "contrast normalization": nn.Sequential(nn.ReLU(), nn.LocalResponseNorm(3)),
    "dropout": nn.Sequential(nn.ReLU(), nn.Dropout2d()),
    "squeeze-and-excitation": Excited(),
    "squeeze-and-excitation, in place": Excited(in_place=True),
    "softmax of branches": after_relu(
        lambda x: sum(  # type: ignore[arg-type, return-value]
            gate * part
            for gate, part in zip(
                torch.stack([x, 2 * x]).mean((3, 4), keepdim=True).softmax(0), (x, 2 * x), strict=True
            )
        )
    ),
    "a check of the values": after_relu(_branching),
    "ReLU in a normalization": NormalizedAndRectified(nn.ReLU(inplace=True)),
    "standardized weights": nn.Sequential(Standardized(6, 6, 3), nn.ReLU()),
    "ReLU of both signs": Both(),
    "autocast": after_relu(_automatically_cast),
    "random dropout": after_relu(lambda x: F.dropout(x, 0.5, training=True)),
    "image by image": after_relu(lambda x: torch.stack([2 * image for image in x])),
    "circular padding": nn.Sequential(nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1, padding_mode="circular")),
    "reflected padding": nn.Sequential(nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1, padding_mode="reflect")),
    "frozen normalization": nn.Sequential(FrozenBatchNorm2d(6), nn.ReLU()),
    "weight normalization": nn.Sequential(weight_norm(nn.Conv2d(6, 6, 1)), nn.ReLU()),
    "checkpoint": after_relu(lambda x: checkpoint(lambda y: 2 * y, x, use_reentrant=False)),
    "einsum with constants": after_relu(
        lambda x: torch.einsum("nchw,dc->ndhw", x, torch.ones(6, 6, device=x.device))
    ),
    "linear layer over channels": after_relu(
        lambda x: F.linear(x.permute(0, 2, 3, 1), torch.ones(6, 6, device=x.device)).permute(0, 3, 1, 2)
    ),
    "nearest and bilinear": after_relu(
        lambda x: F.interpolate(F.interpolate(x, 12, mode="bilinear", antialias=True), SIZE, mode="nearest-exact")
    ),
    "unfold and fold": after_relu(lambda x: F.fold(F.unfold(x, 2, stride=2), SIZE, 2, stride=2)),
    "pixel shuffle": after_relu(lambda x: F.pixel_shuffle(F.pixel_unshuffle(x, 2), 2)),
    "half precision": after_relu(lambda x: x.bfloat16().float()),
    "transposed convolution": nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(6, 6, 3, padding=1)),
    "channel attention by a 1d convolution": after_relu(_channel_attention),
    "statistics on the side": after_relu(lambda x: (x, x.abs().clamp(max=3).std())[0]),
}
