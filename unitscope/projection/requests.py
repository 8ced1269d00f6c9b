"""What is asked of a projection, and what comes of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Requests:
    """Which units to project from where: int64 arrays [N].

    ``images`` are numbers in the sequence of pixels that goes with them, ``ids`` what the images are known by.
    """

    units: np.ndarray
    images: np.ndarray
    ids: np.ndarray
    rows: np.ndarray
    cols: np.ndarray

    def at(self, numbers: np.ndarray) -> Requests:
        return Requests(*(values[numbers] for values in (self.units, self.images, self.ids, self.rows, self.cols)))


@dataclass(frozen=True)
class Projection:
    """``values`` float32 [3, rows, columns] of the pixels from (``top``, ``left``) on, and the activation that was
    projected. Values outside of the image are zero."""

    values: np.ndarray
    top: int
    left: int
    activation: float

    def in_image(self, height: int, width: int) -> np.ndarray:
        """The values on an image of this size: float32 [3, height, width], zero where nothing was projected."""
        image = np.zeros((3, height, width), np.float32)
        rows, cols = self.values.shape[1:]
        top, left = max(self.top, 0), max(self.left, 0)
        bottom, right = min(self.top + rows, height), min(self.left + cols, width)
        image[:, top:bottom, left:right] = self.values[
            :, top - self.top : bottom - self.top, left - self.left : right - self.left
        ]
        return image


class Projector(Protocol):
    """Projects units of one layer."""

    def project(self, pixels: Sequence[np.ndarray], requests: Requests) -> Iterator[tuple[int, Projection]]:
        """The number of each request and its projection, in no particular order.

        Parameters
        ----------
        pixels
            images, uint8 [H, W, 3] each, as the network sees them.
        """
