"""User-defined networks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

SIZE = 32
CLASSES = 3


class Residual(nn.Module):
    """A small residual network."""

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.relu1 = nn.ReLU(inplace=True)
        self.inner = nn.ModuleDict(
            {"conv1": nn.Conv2d(8, 8, 3, padding=1), "conv2": nn.Conv2d(8, 8, 3, padding=1)}
        )
        self.relu2, self.relu3 = nn.ReLU(), nn.ReLU()
        self.head = nn.Linear(8, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu1(self.norm(self.stem(x)))
        inner = self.inner["conv2"](self.relu2(self.inner["conv1"](x)))
        return self.head(self.relu3(inner + x).mean((2, 3)))


class Functional(nn.Module):
    """A network with a functional ReLU, so that it has no deconvnet."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 3, stride=2)
        self.head = nn.Linear(5, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(F.relu(self.conv2(F.relu(self.conv1(x)))).amax((2, 3)))


class Untraceable(Residual):
    """A network that torch.fx can't trace, because of control flow that depends on values."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x if x.mean() > -1e9 else -x)


class Maps(nn.Module):
    """A network without a classifier, whose output is a map."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


def trained_looking(model: nn.Module) -> nn.Module:
    """Set weights large enough for active units, and non-initial statistics of batch normalization."""
    torch.manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.normal_(module.bias, std=0.1)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2.0)  # type: ignore[arg-type]
    return model
