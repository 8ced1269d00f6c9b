"""The one order of top activations: activation descending, then image, row and column ascending.

It is total, so merging the results of shards gives the same rows as one pass over everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

NO_IMAGE = -1
FIELDS = ("activation", "image", "row", "col")


@dataclass
class TopActivations:
    """The best images of every searched unit of a layer, best first; where there are fewer, image is ``NO_IMAGE``.

    Arrays [units, top]: ``activation`` float32, ``image`` int64 (``ImageSource.id``), ``row`` and ``col`` int32.
    """

    activation: np.ndarray
    image: np.ndarray
    row: np.ndarray
    col: np.ndarray

    @classmethod
    def empty(cls, units: int, top: int) -> TopActivations:
        shape = (units, top)
        return cls(
            np.full(shape, -np.inf, np.float32),
            np.full(shape, NO_IMAGE, np.int64),
            np.zeros(shape, np.int32),
            np.zeros(shape, np.int32),
        )

    @classmethod
    def best_of(cls, parts: Sequence[TopActivations]) -> TopActivations:
        """The best of all parts, as many as the first has."""
        together = {name: np.concatenate([getattr(part, name) for part in parts], 1) for name in FIELDS}
        keys = (together["col"], together["row"], together["image"], -together["activation"])
        order = np.lexsort(keys, axis=1)[:, : parts[0].activation.shape[1]]
        return cls(*(np.take_along_axis(together[name], order, 1) for name in FIELDS))

    @property
    def dead(self) -> np.ndarray:
        """bool [units]: units that were positive on no image."""
        return self.image[:, 0] == NO_IMAGE


def rank(
    maxima: torch.Tensor, places: torch.Tensor, images: Sequence[int], columns: int, top: int
) -> TopActivations:
    """The best ``top`` of some images, worked out on the device where ``maxima`` lies.

    Parameters
    ----------
    maxima
        float32 [images, units]: the largest value of each unit's map. Those that are not positive don't count.
    places
        int64 [images, units]: where it is, row * ``columns`` + column.
    images
        ids in ascending order.
    """
    by_unit = maxima.T.contiguous()
    best, chosen = by_unit.sort(dim=1, descending=True, stable=True)  # stable: of equal ones the first image
    best, chosen = best[:, :top], chosen[:, :top]
    at = places.T.gather(1, chosen).cpu().numpy()
    activation, order = best.cpu().numpy(), chosen.cpu().numpy()
    fires = activation > 0
    found = TopActivations.empty(maxima.shape[1], top)
    kept = slice(activation.shape[1])  # there can be fewer images than places
    found.activation[:, kept] = np.where(fires, activation, -np.inf)
    found.image[:, kept] = np.where(fires, np.asarray(images, np.int64)[order], NO_IMAGE)
    found.row[:, kept] = np.where(fires, at // columns, 0)
    found.col[:, kept] = np.where(fires, at % columns, 0)
    return found
