"""Captum's occlusion with its fastest settings, as the peer of occlusion sweeps."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from itertools import product

import captum.attr
import numpy as np
import torch
from torch import nn

from benchmarks.captum_projection import FORMATS
from unitscope.data.images import to_input
from unitscope.occlusion.occluders import GREY, Grid

PERTURBATIONS = (1, 8, 16, 32, 64)
BATCH_IMAGES = (1, 4)


@dataclass(frozen=True)
class LabelledImages:
    """Network inputs [N, 3, H, W], and the class of each, int64 [N], whose probability is measured."""

    images: torch.Tensor
    classes: torch.Tensor

    def first(self, count: int) -> LabelledImages:
        return LabelledImages(self.images[:count], self.classes[:count])

    def batches(self, size: int, memory_format: torch.memory_format) -> list[LabelledImages]:
        """Split into batches of ``size`` images."""
        parts = zip(self.images.split(size), self.classes.split(size), strict=True)
        return [
            LabelledImages(images.contiguous(memory_format=memory_format), classes) for images, classes in parts
        ]


class Captum:
    """``captum.attr.Occlusion`` for a grid, with a number of perturbations and images per batch and a memory
    format."""

    def __init__(
        self, model: nn.Module, grid: Grid, perturbations: int, format_: str, images_per_batch: int
    ) -> None:
        self.grid, self.perturbations, self.format, self.images_per_batch = (
            grid,
            perturbations,
            format_,
            images_per_batch,
        )
        model = copy.deepcopy(model).to(memory_format=FORMATS[format_])
        self.method = captum.attr.Occlusion(lambda images: model(images).softmax(1))
        self.grey = float(to_input(torch.full((1, 3, 1, 1), GREY, dtype=torch.uint8)).mean())

    @classmethod
    def best(cls, model: nn.Module, grid: Grid, images: LabelledImages) -> Captum:
        """Return the variant with the shortest time per image, measured with a stride equal to the patch size."""
        variants = [cls(model, grid, *variant) for variant in product(PERTURBATIONS, FORMATS, BATCH_IMAGES)]
        return min(variants, key=lambda variant: min(variant._seconds_per_image(images) for _ in range(2)))

    def _seconds_per_image(self, images: LabelledImages) -> float:
        """Time an attribution with a stride equal to the patch size, in seconds per image."""
        batch = self.to_batches(images.first(self.images_per_batch))
        began = time.perf_counter()
        self.attribute(batch, self.grid.patch)
        if images.images.is_cuda:
            torch.cuda.synchronize()
        return (time.perf_counter() - began) / len(batch[0].images)

    def to_batches(self, images: LabelledImages) -> list[LabelledImages]:
        """Split the images into batches of this variant's size and memory format."""
        return images.batches(self.images_per_batch, FORMATS[self.format])

    @torch.inference_mode()
    def attribute(self, batches: list[LabelledImages], stride: int | None = None) -> list[torch.Tensor]:
        """Compute Captum's attribution of each pixel: the decrease of the class's probability, averaged over the
        squares that cover the pixel."""
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
    """Compute Captum's attributions from an occlusion map: probabilities [rows, columns] by position.

    Captum's last squares extend beyond the image, whereas a ``Grid`` moves them inwards. The result therefore
    covers only the upper left pixels, which the last squares don't touch.
    """
    starts = np.arange(0, grid.size - grid.patch + 1, grid.stride)
    pixels = np.arange(len(starts) * grid.stride)
    covers = ((starts[:, None] <= pixels) & (pixels < starts[:, None] + grid.patch)).astype(np.float64)
    decrease = clear - probabilities[: len(starts), : len(starts)].astype(np.float64)
    squares = np.outer(covers.sum(0), covers.sum(0))
    return covers.T @ decrease @ covers / squares
