"""Networks with odd units: pruned filters, filters that only inhibit, overflows, and layers without input."""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from unitscope.networks.build import build

PRUNED, DEAD, INHIBITED, OVERFLOWN, NORMAL = range(5)
OPTIONS = ("--network", "zfnet", "--size", "64", "--fc", "16", "--maps", "8,8,8")


def write_network(path: Path, classes: int = 20, overflow: bool = True) -> Path:
    """Write weights of the network of ``OPTIONS``, with odd units in its second convolution."""
    torch.manual_seed(0)
    model = build("zfnet", classes, 64, fc=16, maps=(8, 8, 8))
    make_lively(model)
    spoil(model.get_submodule("features.3"), overflow=overflow)  # type: ignore[arg-type]
    safetensors.torch.save_file(model.state_dict(), path)
    return path


def make_lively(model: nn.Module) -> None:
    """Set weights with which most units are active without training."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.normal_(module.bias, std=0.05)


def spoil(layer: nn.Conv2d, overflow: bool) -> None:
    """Make units of a convolution odd: those of the constants, in a layer whose inputs are not negative."""
    with torch.no_grad():
        assert layer.bias is not None
        layer.weight[[PRUNED, DEAD]] = 0
        layer.bias[[PRUNED, DEAD]] = torch.tensor([0.05, -0.05])
        layer.weight[INHIBITED] = -layer.weight[INHIBITED].abs() / 100  # so small that the unit stays positive
        layer.bias[INHIBITED] = 5
        if overflow:
            layer.weight[OVERFLOWN] = 3e38


class Chain(nn.Module):
    """A chain of two convolutions, the second of which has odd units."""

    def __init__(self, without_input: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.relu = nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.ReLU()
        self.second = nn.Conv2d(6, 8, 3, padding=1)
        make_lively(self)
        spoil(self.second, overflow=True)
        if without_input:  # all units of the layer below are dead
            nn.init.constant_(self.first.bias, -100)  # type: ignore[arg-type]
            nn.init.constant_(self.second.bias, 0.5)  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.relu(self.first(x))).mean((2, 3))


class Branched(Chain):
    """The same with a sum of two branches, which is projected by automatic differentiation of the graph."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = self.relu(self.first(x))
        return self.second(maps + maps.flip(2)).mean((2, 3))
