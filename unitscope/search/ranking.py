"""Rankings of activations: by activation descending, then by image, row and column ascending.

This order is total, so that merging the results of shards gives the same rows as a single pass over all images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from unitscope.layers.forms import NO_PLACE

NO_IMAGE = -1
FIELDS = ("activation", "image", "row", "col")

Groups = Callable[[np.ndarray], np.ndarray]  # numbers of images -> numbers of their groups


@dataclass
class TopActivations:
    """Top images of each searched unit of a layer, in descending order of activation.

    All are arrays [units, top]: ``activation`` float32, ``image`` int64 (``ImageSource.id``), ``row`` and ``col``
    int32; where an activation has no place, ``row`` is ``NO_PLACE``, and ``col`` the number of its token
    (``unitscope.layers.forms``). Entries of units with fewer than ``top`` images have image ``NO_IMAGE`` and
    activation -inf.
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
    def best_of(cls, parts: Sequence[TopActivations], groups: Groups | None = None) -> TopActivations:
        """Merge rankings of the same units; the result has the ``top`` of the first.

        With ``groups``, only the best image of each group is ranked.
        """
        merged = {name: np.concatenate([getattr(part, name) for part in parts], 1) for name in FIELDS}
        keys = (merged["col"], merged["row"], merged["image"], -merged["activation"])
        top = parts[0].activation.shape[1]
        order = np.lexsort(keys, axis=1)[:, : None if groups else top]
        ranking = cls(*(np.take_along_axis(merged[name], order, 1) for name in FIELDS))
        return ranking.distinct(groups, top) if groups else ranking

    def distinct(self, groups: Groups, top: int) -> TopActivations:
        """Return the first ``top`` images of each unit, without those of whose group an image comes before."""
        result = TopActivations.empty(len(self.image), top)
        for unit, images in enumerate(self.image):
            listed = np.flatnonzero(images != NO_IMAGE)
            _, first = np.unique(groups(images[listed]), return_index=True)
            chosen = listed[np.sort(first)][:top]
            for name in FIELDS:
                getattr(result, name)[unit, : len(chosen)] = getattr(self, name)[unit, chosen]
        return result

    @property
    def dead(self) -> np.ndarray:
        """Units without a ranked image, which are positive on no image: bool [units]."""
        return self.image[:, 0] == NO_IMAGE

    def without(self, units: np.ndarray) -> TopActivations:
        """Return the rankings with those of ``units``, bool [units], emptied."""
        nothing = TopActivations.empty(*self.activation.shape)
        emptied = units[:, None]
        return TopActivations(*(np.where(emptied, getattr(nothing, name), getattr(self, name)) for name in FIELDS))


def rank(
    maxima: torch.Tensor, positions: torch.Tensor, images: Sequence[int], columns: int, top: int, before: int = 0
) -> TopActivations:
    """Rank images by the maxima of each unit's map, on the device of ``maxima``.

    Parameters
    ----------
    maxima
        float32 [images, units]: largest value of each map. Images where it is not positive are not ranked.
    positions
        int64 [images, units]: position of the maximum, ``before`` + row * ``columns`` + column.
    images
        ids of the images, in ascending order.
    columns
        number of columns of the maps.
    top
        number of images to rank for each unit.
    before
        number of positions before those of the maps, which have no place.
    """
    by_unit = maxima.T.contiguous()
    best, chosen = by_unit.sort(dim=1, descending=True, stable=True)  # stable: ties keep the order of the images
    best, chosen = best[:, :top], chosen[:, :top]
    position = positions.T.gather(1, chosen).cpu().numpy()
    activation, order = best.cpu().numpy(), chosen.cpu().numpy()
    active = activation > 0
    ranking = TopActivations.empty(maxima.shape[1], top)
    filled = slice(activation.shape[1])  # there can be fewer images than ``top``
    ranking.activation[:, filled] = np.where(active, activation, -np.inf)
    ranking.image[:, filled] = np.where(active, np.asarray(images, np.int64)[order], NO_IMAGE)
    placed = position >= before
    row, col = np.divmod(position - before, columns)
    ranking.row[:, filled] = np.where(active, np.where(placed, row, NO_PLACE), 0)
    ranking.col[:, filled] = np.where(active, np.where(placed, col, position), 0)
    return ranking


def rank_distinct(
    ranked: Callable[[int], TopActivations], groups: Groups, images: int, top: int
) -> TopActivations:
    """Rank the best image of each group.

    Parameters
    ----------
    ranked
        returns the ranking of a number of images for each unit, without regard to groups.
    images
        number of images that can be ranked.
    """
    count = min(4 * top, images)
    while True:
        ranking = ranked(count)
        distinct = ranking.distinct(groups, top)
        short = (distinct.image[:, -1] == NO_IMAGE) & (ranking.image[:, count - 1] != NO_IMAGE)
        if count == images or not short.any():
            return distinct
        count = min(4 * count, images)
