"""Requests for projections, projections, and the interface of projectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Requests:
    """Activations to project: int64 arrays [N].

    ``images`` are indices into the sequence of pixels that is passed along, ``ids`` are the images' ids. ``rows``
    and ``cols`` are places in the layer's map (``unitscope.layers.forms``).
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
    """Projection of one activation: ``values`` float32 [3, rows, columns], whose first pixel is (``top``,
    ``left``).

    ``top`` and ``left`` can be negative; values outside of the image are zero.
    """

    values: np.ndarray
    top: int
    left: int
    activation: float

    def in_image(self, height: int, width: int) -> np.ndarray:
        """Paste the values into an image of this size: float32 [3, height, width], zero elsewhere."""
        image = np.zeros((3, height, width), np.float32)
        rows, cols = self.values.shape[1:]
        top, left = max(self.top, 0), max(self.left, 0)
        bottom, right = min(self.top + rows, height), min(self.left + cols, width)
        image[:, top:bottom, left:right] = self.values[
            :, top - self.top : bottom - self.top, left - self.left : right - self.left
        ]
        return image


class Projector(Protocol):
    """Interface of a projector for the units of one layer."""

    def project(self, pixels: Sequence[np.ndarray], requests: Requests) -> Iterator[tuple[int, Projection]]:
        """Iterate over pairs (index of the request, projection), in no particular order.

        Parameters
        ----------
        pixels
            images, uint8 [H, W, 3] each, resized to the network's input size.
        requests
            activations to project.
        """
