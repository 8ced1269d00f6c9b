"""Captum's occlusion, as fast as it goes: the sweeps' peer."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from itertools import product

import captum.attr
import numpy as np
import torch
from torch import nn

from benchmarks.captum_peer import FORMATS
from unitscope.data.images import to_input
from unitscope.occlusion.occluders import GREY, Grid

PERTURBATIONS = (1, 8, 16, 32, 64)
TOGETHER = (1, 4)  # images


@dataclass(frozen=True)
class Labelled:
    """Images [N, 3, H, W] as the network's input, and the classes, int64 [N], whose probability is looked at."""

    images: torch.Tensor
    classes: torch.Tensor

    def first(self, count: int) -> Labelled:
        return Labelled(self.images[:count], self.classes[:count])

    def batches(self, size: int, memory_format: torch.memory_format) -> list[Labelled]:
        """The same, ``size`` at a time."""
        parts = zip(self.images.split(size), self.classes.split(size), strict=True)
        return [Labelled(images.contiguous(memory_format=memory_format), classes) for images, classes in parts]


class Captum:
    """``Occlusion`` of a grid's squares, so many perturbations and images in a batch, in a memory format."""

    def __init__(self, model: nn.Module, grid: Grid, perturbations: int, format_: str, together: int) -> None:
        self.grid, self.perturbations, self.format, self.together = grid, perturbations, format_, together
        model = copy.deepcopy(model).to(memory_format=FORMATS[format_])
        self.method = captum.attr.Occlusion(lambda images: model(images).softmax(1))
        self.grey = float(to_input(torch.full((1, 3, 1, 1), GREY, dtype=torch.uint8)).mean())

    @classmethod
    def best(cls, model: nn.Module, grid: Grid, images: Labelled) -> Captum:
        """The fastest of all ways, by the image, with squares as far apart as they are large."""
        ways = [cls(model, grid, *way) for way in product(PERTURBATIONS, FORMATS, TOGETHER)]
        return min(ways, key=lambda way: min(way._tried(images) for _ in range(2)))

    def _tried(self, images: Labelled) -> float:
        """Seconds for one of the images."""
        batch = self.prepared(images.first(self.together))
        began = time.perf_counter()
        self.attribute(batch, self.grid.patch)
        if images.images.is_cuda:
            torch.cuda.synchronize()
        return (time.perf_counter() - began) / len(batch[0].images)

    def prepared(self, images: Labelled) -> list[Labelled]:
        """In batches as this way takes them."""
        return images.batches(self.together, FORMATS[self.format])

    @torch.inference_mode()
    def attribute(self, batches: list[Labelled], stride: int | None = None) -> list[torch.Tensor]:
        """What Captum attributes to each pixel: by how much the class is less probable with the pixel hidden, in
        the mean of the squares that hide it."""
        return [
            self.method.attribute(
                batch.images,
                sliding_window_shapes=(3, self.grid.patch, self.grid.patch),
                strides=(3, stride or self.grid.stride, stride or self.grid.stride),
                baselines=self.grey,
                target=batch.classes,
                perturbations_per_eval=self.perturbations,
            )
            for batch in batches
        ]


def attributed(grid: Grid, clear: float, probabilities: np.ndarray) -> np.ndarray:
    """The same from probabilities [rows, columns] by place: what Captum attributes to the upper left pixels.

    Captum's last squares stick out of the image, where ours are moved inwards: pixels below them are left out.
    """
    starts = np.arange(0, grid.size - grid.patch + 1, grid.stride)
    pixels = np.arange(len(starts) * grid.stride)
    hides = ((starts[:, None] <= pixels) & (pixels < starts[:, None] + grid.patch)).astype(np.float64)
    less = clear - probabilities[: len(starts), : len(starts)].astype(np.float64)
    squares = np.outer(hides.sum(0), hides.sum(0))
    return hides.T @ less @ hides / squares
