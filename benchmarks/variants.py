"""Large sets of images: crops, and copies of them with small changes, decoded in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from benchmarks.setting import BATCH
from unitscope.data.images import Batch, ImageSource

SHIFT = 4  # pixels at most
BRIGHTNESS = 0.15  # change at most, relative


class Variants:
    """Images that are all different: the crops, and copies that are shifted, flipped, and brighter or darker.

    Parameters
    ----------
    crops
        uint8 [crops, size, size, 3].
    count
        number of images.
    """

    def __init__(self, crops: np.ndarray, count: int) -> None:
        self.pixels = np.empty((count, *crops.shape[1:]), np.uint8)

        def fill(number: int) -> None:
            variant, crop = divmod(number, len(crops))
            self.pixels[number] = changed(crops[crop], np.random.default_rng(number)) if variant else crops[crop]

        with ThreadPoolExecutor() as threads:
            list(threads.map(fill, range(count)))
        self.sources = [ImageSource(number, Path(str(number)), position=number) for number in range(count)]

    def batches(self, sources: Sequence[ImageSource] | None = None) -> Iterator[Batch]:
        """Return padded batches of all images, or of these."""
        sources = self.sources if sources is None else sources
        for start in range(0, len(sources), BATCH):
            part = list(sources[start : start + BATCH])
            pixels = self.pixels[[source.position for source in part]]
            if len(part) < BATCH:
                pixels = np.concatenate([pixels, np.zeros((BATCH - len(part), *pixels.shape[1:]), np.uint8)])
            yield Batch(torch.from_numpy(pixels).permute(0, 3, 1, 2), part)


def changed(crop: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    """Return a copy of an image, uint8 [size, size, 3], with small changes."""
    size = len(crop)
    row, col = chance.integers(0, 2 * SHIFT + 1, 2)
    moved = np.pad(crop, ((SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)), mode="edge")[row : row + size, col : col + size]
    if chance.random() < 0.5:
        moved = moved[:, ::-1]
    factor = chance.uniform(1 - BRIGHTNESS, 1 + BRIGHTNESS)
    levels = np.clip(np.arange(256) * factor, 0, 255).astype(np.uint8)
    return levels[moved]
