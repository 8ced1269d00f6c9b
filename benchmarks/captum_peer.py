"""Captum's deconvnet, as fast as it goes: the projections' peer."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import captum.attr
import torch
from torch import nn

BATCHES = (1, 9, 18, 36)
FORMATS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}
TRIED_ON = 36  # projections

for message in ("Setting backward hooks", "Input Tensor 0 did not"):  # once a call, otherwise
    warnings.filterwarnings("ignore", message)


@dataclass(frozen=True)
class Places:
    """What to project: images [N, 3, H, W] as the network's input, and int64 [N] each of unit, row and column."""

    images: torch.Tensor
    units: torch.Tensor
    rows: torch.Tensor
    cols: torch.Tensor

    def batches(self, size: int, memory_format: torch.memory_format = torch.contiguous_format) -> list[Places]:
        """The same, ``size`` at a time."""
        parts = zip(*(values.split(size) for values in vars(self).values()), strict=True)
        return [Places(part[0].contiguous(memory_format=memory_format), *part[1:]) for part in parts]


class Captum:
    """``NeuronDeconvolution`` of a layer, with a batch and a memory format.

    One call serves a batch of images with a unit and a place each: the selector may be a function of the maps.
    """

    def __init__(self, model: nn.Module, layer: str, batch: int, format_: str) -> None:
        self.batch, self.format = batch, format_
        model = copy.deepcopy(model).to(memory_format=FORMATS[format_]).requires_grad_(False)
        for module in model.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False  # it would rectify the activation before Captum looks at it
        self.method = captum.attr.NeuronDeconvolution(model, model.get_submodule(layer))

    @classmethod
    def best(cls, model: nn.Module, layer: str, places: Places) -> Captum:
        """The fastest batch and memory format on the first of these."""
        tried = next(iter(places.batches(TRIED_ON)))
        ways = [cls(model, layer, batch, name) for batch in BATCHES for name in FORMATS]
        return min(ways, key=lambda way: min(way.seconds(tried) for _ in range(2)))

    def seconds(self, places: Places) -> float:
        """What these take."""
        prepared = self.prepared(places)
        began = time.perf_counter()
        for _ in self.attribute(prepared):
            pass
        if places.images.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - began

    def prepared(self, places: Places) -> list[Places]:
        """In batches as this way takes them."""
        return places.batches(self.batch, FORMATS[self.format])

    def attribute(self, batches: list[Places]) -> Iterator[torch.Tensor]:
        """What Captum attributes to each pixel; a projection is that times the activation."""
        for batch in batches:
            each = torch.arange(len(batch.units), device=batch.units.device)
            places = (each, batch.units, batch.rows, batch.cols)
            yield self.method.attribute(batch.images, lambda maps, places=places: maps[places]).detach()
