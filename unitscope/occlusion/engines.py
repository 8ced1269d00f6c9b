"""Ways to run occluded images through a network: whole, or recomputed where the square can reach."""

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

WORTHWHILE = 0.8  # of the multiplications of whole images: windows have to be put together


class Clear(Protocol):
    """What an engine keeps of clear images."""

    @property
    def rectified_sums(self) -> torch.Tensor:
        """float64 [images, units]: over the layer's maps, behind the ReLU."""

    @property
    def maxima(self) -> torch.Tensor:
        """[images, units]: of the layer's maps."""

    @property
    def outputs(self) -> torch.Tensor:
        """[images, classes]: what the network answers."""


class Engine(Protocol):
    """Runs images forward of which a square hides a part."""

    name: str
    grid: Grid

    def kinds(self, places: torch.Tensor) -> torch.Tensor:
        """int64 [N]: places, int64 [N, 2], of one kind can run together."""

    def multiplications(self) -> float:
        """Of convolutions and fully connected layers, for one place in the mean."""

    def bytes_of_place(self) -> int:
        """What one occluded image holds at once, at most."""

    def bytes_of_clear(self) -> int:
        """What is kept of one clear image."""

    def clear(self, images: torch.Tensor) -> Any:
        """Run clear images [M, 3, H, W] forward; gives a ``Clear``."""

    def run(
        self, clear: Any, filled: torch.Tensor, images: torch.Tensor, places: torch.Tensor, units: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run occluded images forward, whose places are of one kind.

        Parameters
        ----------
        clear
            what ``clear`` gave.
        filled
            [M, 3, H, W]: what the square shows, of each clear image.
        images, places
            int64 [N] and [N, 2], on the CPU: which image, and where its square is: numbers of ``grid.starts``, row
            and column.
        units
            int64 [M]: of the layer, for each clear image.

        Returns
        -------
        sums
            float64 [N]: over the map of the image's unit, behind the ReLU.
        outputs
            [N, classes]: what the network answers.
        """


@dataclass(frozen=True)
class _Images:
    """Clear images, and what came of them."""

    images: torch.Tensor
    rectified_sums: torch.Tensor
    maxima: torch.Tensor
    outputs: torch.Tensor


class Full:
    """Runs every occluded image as a whole: plain batching.

    Parameters
    ----------
    model
        in evaluation mode, on the device of its images.
    layer
        path of the module whose output is watched.
    """

    name = "full"

    def __init__(self, model: nn.Module, layer: str, grid: Grid) -> None:
        self.model, self.layer, self.grid = model, layer, grid
        self.starts = torch.tensor(grid.starts)

    @cached_property
    def _layers(self) -> list[tuple[nn.Module, torch.Size]]:
        """The modules that have none inside, and the shape of what they make of an image."""
        seen: list[tuple[nn.Module, torch.Size]] = []
        hooks = [
            module.register_forward_hook(lambda module, inputs, output: seen.append((module, output.shape[1:])))
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
        return seen

    def kinds(self, places: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(places), dtype=torch.int64)

    def multiplications(self) -> float:
        counted = (
            module.weight.numel() * prod(shape[1:] if isinstance(module, nn.Conv2d) else shape[:-1])
            for module, shape in self._layers
            if isinstance(module, (nn.Conv2d, nn.Linear))
        )
        return float(sum(counted))

    def bytes_of_place(self) -> int:
        # What the largest layer reads and writes, and what passes it by.
        return 3 * 4 * max(prod(shape) for _, shape in self._layers)

    def bytes_of_clear(self) -> int:
        return 2 * 4 * 3 * self.grid.size**2  # the image, and what the square shows of it

    def clear(self, images: torch.Tensor) -> _Images:
        # One by one: the last bits depend on the shape of a batch.
        each = [self._forward(image) for image in images.split(1)]
        maps, outputs = (torch.cat(parts) for parts in zip(*each, strict=True))
        sums = maps.clamp(min=0).sum((2, 3), dtype=torch.float64)
        return _Images(images, sums, maps.amax((2, 3)), outputs)

    def run(
        self, clear: _Images, filled: torch.Tensor, images: torch.Tensor, places: torch.Tensor, units: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        starts, images = self.starts[places], images.to(filled.device, non_blocking=True)
        square = (self.grid.patch, self.grid.patch)
        occluded = clear.images[images].contiguous(memory_format=torch.channels_last)
        overlay(occluded, gather(filled, images, starts, square), starts)
        maps, outputs = self._forward(occluded)
        of_unit = maps[torch.arange(len(maps), device=maps.device), units[images]]
        return of_unit.clamp(min=0).sum((1, 2), dtype=torch.float64), outputs

    def _forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The layer's maps, before anything behind it could overwrite them, and the outputs."""
        seen: list[torch.Tensor] = []
        hook = self.model.get_submodule(self.layer).register_forward_hook(
            lambda module, inputs, output: seen.append(output.clone())
        )
        try:
            outputs = self.model(images)
        finally:
            hook.remove()
        return seen[0], outputs


@dataclass(frozen=True)
class Choice:
    """An engine, and why it was chosen."""

    engine: Engine
    reason: str


def choose_engine(model: nn.Module, layer: str, grid: Grid, wanted: EngineName = "auto") -> Choice:
    """The engine that is wanted. ``auto`` takes the incremental one where it saves enough multiplications; a
    network that it can't serve runs whole, whatever is wanted."""
    full = Full(model, layer, grid)
    if wanted == "full":
        return Choice(full, "asked for")
    try:
        incremental = Incremental(model, layer, grid)
    except ValueError as error:
        return Choice(full, f"the incremental engine can't serve this network: {error}")
    if wanted == "incremental":
        return Choice(incremental, "asked for")
    share = incremental.multiplications() / full.multiplications()
    reason = f"the incremental engine multiplies {share:.0%} as often as the full one"
    return Choice(incremental if share < WORTHWHILE else full, reason)
