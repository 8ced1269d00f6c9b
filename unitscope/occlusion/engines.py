"""Engines that compute occluded images: in full, or only where the square can change the maps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, Protocol

import torch
from torch import nn

from unitscope.geometry.chains import gather, overlay
from unitscope.occlusion.incremental import Incremental
from unitscope.occlusion.occluders import Grid
from unitscope.vocabulary import Engine as EngineName

WORTHWHILE = 0.8  # largest share of the full engine's multiplications: gathering windows takes time, too


class Clear(Protocol):
    """Results of clear images, those without the square."""

    @property
    def rectified_sums(self) -> torch.Tensor:
        """Sums over the layer's maps after the ReLU: float64 [images, units]."""

    @property
    def maxima(self) -> torch.Tensor:
        """Maxima of the layer's maps: [images, units]."""

    @property
    def outputs(self) -> torch.Tensor:
        """Logits of the network: [images, classes]."""


class Engine(Protocol):
    """Interface of an engine that runs occluded images forward."""

    name: str
    grid: Grid

    def groups(self, positions: torch.Tensor) -> torch.Tensor:
        """Return the group, int64 [N], of positions int64 [N, 2]; those of one group can share a batch."""

    def multiplications(self) -> float:
        """Mean number of multiplications per position (convolutions and linear layers)."""

    def bytes_per_position(self) -> int:
        """Largest number of bytes of activations that one occluded image needs at once."""

    def bytes_per_clear_image(self) -> int:
        """Number of bytes that are stored for one clear image."""

    def clear(self, images: torch.Tensor) -> Any:
        """Run clear images float32 [M, 3, H, W] forward and return a ``Clear``."""

    def run(
        self, clear: Any, filled: torch.Tensor, images: torch.Tensor, positions: torch.Tensor, units: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run occluded images forward, whose positions are of one group.

        Parameters
        ----------
        clear
            result of ``clear``.
        filled
            float32 [M, 3, H, W]: for each clear image, the pixels that replace it inside the square.
        images
            int64 [N], on the CPU: index of each occluded image's clear image.
        positions
            int64 [N, 2], on the CPU: position of the square, as indices of its row and column in ``grid.starts``.
        units
            int64 [M]: unit of the layer for each clear image.

        Returns
        -------
        sums
            float64 [N]: sum over the map of the image's unit after the ReLU.
        outputs
            [N, classes]: logits.
        """


@dataclass(frozen=True)
class _Images:
    """Clear images and their results."""

    images: torch.Tensor
    rectified_sums: torch.Tensor
    maxima: torch.Tensor
    outputs: torch.Tensor


class Full:
    """Engine that runs a full forward pass for every occluded image.

    Parameters
    ----------
    model
        network in evaluation mode, on the device of the images.
    layer
        path of the module whose units are observed.
    grid
        positions of the square.
    """

    name = "full"

    def __init__(self, model: nn.Module, layer: str, grid: Grid) -> None:
        self.model, self.layer, self.grid = model, layer, grid
        self.starts = torch.tensor(grid.starts)

    @cached_property
    def _layers(self) -> list[tuple[nn.Module, torch.Size]]:
        """Leaf modules in execution order, and the shapes of their outputs without the batch dimension."""
        layers: list[tuple[nn.Module, torch.Size]] = []
        hooks = [
            module.register_forward_hook(lambda module, inputs, output: layers.append((module, output.shape[1:])))
            for module in self.model.modules()
            if not any(module.children())
        ]
        parameter = next(self.model.parameters())
        try:
            with torch.inference_mode():
                self.model(parameter.new_zeros(1, 3, self.grid.size, self.grid.size))
        finally:
            for hook in hooks:
                hook.remove()
        return layers

    def groups(self, positions: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(positions), dtype=torch.int64)

    def multiplications(self) -> float:
        counted = (
            module.weight.numel() * prod(shape[1:] if isinstance(module, nn.Conv2d) else shape[:-1])
            for module, shape in self._layers
            if isinstance(module, (nn.Conv2d, nn.Linear))
        )
        return float(sum(counted))

    def bytes_per_position(self) -> int:
        # Input and output of the largest layer, and a residual connection beside it.
        return 3 * 4 * max(prod(shape) for _, shape in self._layers)

    def bytes_per_clear_image(self) -> int:
        return 2 * 4 * 3 * self.grid.size**2  # the image, and the pixels inside the square

    def clear(self, images: torch.Tensor) -> _Images:
        # One by one, because the last bits of results depend on the shape of a batch.
        each = [self._forward(image) for image in images.split(1)]
        maps, outputs = (torch.cat(parts) for parts in zip(*each, strict=True))
        sums = maps.clamp(min=0).sum((2, 3), dtype=torch.float64)
        return _Images(images, sums, maps.amax((2, 3)), outputs)

    def run(
        self,
        clear: _Images,
        filled: torch.Tensor,
        images: torch.Tensor,
        positions: torch.Tensor,
        units: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        starts, images = self.starts[positions], images.to(filled.device, non_blocking=True)
        square = (self.grid.patch, self.grid.patch)
        occluded = clear.images[images].contiguous(memory_format=torch.channels_last)
        overlay(occluded, gather(filled, images, starts, square), starts)
        maps, outputs = self._forward(occluded)
        of_unit = maps[torch.arange(len(maps), device=maps.device), units[images]]
        return of_unit.clamp(min=0).sum((1, 2), dtype=torch.float64), outputs

    def _forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a copy of the layer's maps, which a later module could overwrite, and the outputs."""
        maps: list[torch.Tensor] = []
        hook = self.model.get_submodule(self.layer).register_forward_hook(
            lambda module, inputs, output: maps.append(output.clone())
        )
        try:
            outputs = self.model(images)
        finally:
            hook.remove()
        return maps[0], outputs


@dataclass(frozen=True)
class Choice:
    """An engine, and the reason for its choice."""

    engine: Engine
    reason: str


def choose_engine(model: nn.Module, layer: str, grid: Grid, requested: EngineName = "auto") -> Choice:
    """Choose an engine.

    ``auto`` chooses the incremental engine if it needs less than ``WORTHWHILE`` of the full engine's
    multiplications, and on a GPU the full one: there, the incremental engine's many small operations take as long
    as the multiplications that it saves, or longer (docs/operations/gpu.md). The full engine is used for networks
    that the incremental one doesn't support, even if that was requested.

    Parameters
    ----------
    model, layer, grid
        see ``Full`` and ``Incremental``.
    requested
        the requested engine.
    """
    full = Full(model, layer, grid)
    if requested == "full":
        return Choice(full, "requested")
    if requested == "auto" and any(weights.device.type != "cpu" for weights in model.parameters()):
        return Choice(full, "on a GPU, small operations take as long as the multiplications that they save")
    try:
        incremental = Incremental(model, layer, grid)
    except ValueError as error:
        return Choice(full, f"the incremental engine doesn't support this network: {error}")
    if requested == "incremental":
        return Choice(incremental, "requested")
    share = incremental.multiplications() / full.multiplications()
    reason = f"the incremental engine needs {share:.0%} of the full engine's multiplications"
    return Choice(incremental if share < WORTHWHILE else full, reason)
