"""Small networks and reproducible random images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from unitscope.data.images import Batch, ImageSource
from unitscope.networks import build as networks
from unitscope.networks.initialization import initialize

CLASSES = 5


class Residual(nn.Module):
    """A small ResNet with sums, strides and batch normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_normalized(3, 24, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1))
        self.first = nn.Sequential(_normalized(24, 24), nn.ReLU(inplace=True), _normalized(24, 24))
        self.second = nn.Sequential(_normalized(24, 32, 2), nn.ReLU(inplace=True), _normalized(32, 32))
        self.shortcut = _normalized(24, 32, 2)
        self.relu, self.pool = nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1)
        self.last = nn.Linear(32, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = self.relu(x + self.first(x))
        x = self.relu(self.shortcut(x) + self.second(x))
        return self.last(torch.flatten(self.pool(x), 1))  # type: ignore[no-any-return]


def _normalized(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs))


def _built(name: str, size: int) -> nn.Module:
    if name == "residual":
        return Residual()
    if name.startswith("zfnet"):
        return networks.build(name, CLASSES, size, fc=32, maps=(48, 40, 32))
    return networks.build(name, CLASSES, size)


def network(name: str, size: int, device: torch.device | str = "cpu") -> nn.Module:
    """Build a network in evaluation mode with random weights that are generated on the CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)
        model = _built(name, size)
        initialize(model, "he")
        for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
            norm.running_mean.normal_()  # type: ignore[union-attr]
            norm.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    return model.eval().to(device, memory_format=torch.channels_last)


def convolutions(model: nn.Module) -> list[str]:
    """Return the module paths of all convolutions."""
    return [path for path, module in model.named_modules() if isinstance(module, nn.Conv2d)]


def pictures(count: int, size: int, seed: int = 0) -> np.ndarray:
    """Generate images of coarse and fine noise, uint8 [count, size, size, 3], which activate units differently."""
    drawn = np.random.default_rng(seed)
    coarse = drawn.integers(0, 200, (count, -(-size // 8), -(-size // 8), 3)).repeat(8, 1).repeat(8, 2)
    fine = drawn.integers(0, 56, (count, size, size, 3))
    return (coarse[:, :size, :size] + fine).astype(np.uint8)


def batches(images: np.ndarray, batch: int, start: int = 0, stop: int | None = None) -> list[Batch]:
    """Split the images ``start`` to ``stop`` into batches padded with black images.

    Ids and labels are those of the full sequence.
    """
    stop = len(images) if stop is None else stop
    sources = [ImageSource(10 * number + 3, Path(), number % CLASSES) for number in range(len(images))]
    found = []
    for first in range(start, stop, batch):
        some = images[first : min(first + batch, stop)]
        filled = np.concatenate([some, np.zeros((batch - len(some), *some.shape[1:]), np.uint8)])
        found.append(Batch(torch.from_numpy(filled).permute(0, 3, 1, 2), sources[first : first + len(some)]))
    return found
