"""Captum's deconvnet with its fastest settings, as the peer of projections."""

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
TUNING_PROJECTIONS = 36

for message in ("Setting backward hooks", "Input Tensor 0 did not"):  # Captum warns at every call
    warnings.filterwarnings("ignore", message)


@dataclass(frozen=True)
class Targets:
    """Activations to project: network inputs [N, 3, H, W], and the unit, row and column of each, int64 [N]."""

    images: torch.Tensor
    units: torch.Tensor
    rows: torch.Tensor
    cols: torch.Tensor

    def batches(self, size: int, memory_format: torch.memory_format = torch.contiguous_format) -> list[Targets]:
        """Split into batches of ``size``."""
        parts = zip(*(values.split(size) for values in vars(self).values()), strict=True)
        return [Targets(part[0].contiguous(memory_format=memory_format), *part[1:]) for part in parts]


class Captum:
    """``captum.attr.NeuronDeconvolution`` of a layer, with a batch size and a memory format.

    The selector is a function, so that each image of a batch can have its own unit and position.
    """

    def __init__(self, model: nn.Module, layer: str, batch: int, format_: str) -> None:
        self.batch, self.format = batch, format_
        model = copy.deepcopy(model).to(memory_format=FORMATS[format_]).requires_grad_(False)
        for module in model.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False  # in place, it would overwrite the activation that Captum reads
        self.method = captum.attr.NeuronDeconvolution(model, model.get_submodule(layer))

    @classmethod
    def best(cls, model: nn.Module, layer: str, targets: Targets) -> Captum:
        """Return the fastest combination of batch size and memory format, timed on the first targets."""
        sample = next(iter(targets.batches(TUNING_PROJECTIONS)))
        variants = [cls(model, layer, batch, name) for batch in BATCHES for name in FORMATS]
        return min(variants, key=lambda variant: min(variant.seconds(sample) for _ in range(2)))

    def seconds(self, targets: Targets) -> float:
        """Time the attribution of all targets."""
        batches = self.to_batches(targets)
        began = time.perf_counter()
        for _ in self.attribute(batches):
            pass
        if targets.images.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - began

    def to_batches(self, targets: Targets) -> list[Targets]:
        """Split the targets into batches of this variant's size and memory format."""
        return targets.batches(self.batch, FORMATS[self.format])

    def attribute(self, batches: list[Targets]) -> Iterator[torch.Tensor]:
        """Yield Captum's attributions of each batch. A projection is the attribution times the activation."""
        for batch in batches:
            images = torch.arange(len(batch.units), device=batch.units.device)
            index = (images, batch.units, batch.rows, batch.cols)
            yield self.method.attribute(batch.images, lambda maps, index=index: maps[index]).detach()
