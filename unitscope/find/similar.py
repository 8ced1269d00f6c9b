"""Units that respond alike over the images: Pearson's correlation of their maxima, and Spearman's of ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unitscope.errors import InvalidArgument
from unitscope.find.layer import LayerMaxima
from unitscope.find.maxima import read_ahead

IMAGES_AT_ONCE = 65_536  # fixed, because the last bits of a sum depend on it
BYTES_AHEAD = 2**20  # of rows that the system is asked for at once; of short rows, asking takes long
BYTES_OF_VALUE = 16  # of an image, while units are compared
BYTES_OF_RANKED = 40  # of an image, while the values of a unit are ranked


@dataclass(frozen=True)
class SimilarUnit:
    """A unit, and the correlation of its maxima with another's over ``images`` images."""

    rank: int
    layer: str
    unit: int
    correlation: float
    images: int


def similar_units(
    layers: Sequence[LayerMaxima],
    values: np.ndarray,
    ranks: bool = False,
    images: np.ndarray | None = None,
    count: int = 10,
    memory: int = 2**28,
    without: tuple[str, int] | None = None,
) -> list[SimilarUnit]:
    """Find the units of some layers that respond like a unit, by descending correlation: see ``correlations``.

    Units without a correlation are not among them. Equal ones are in the order of ``layers``.

    Parameters
    ----------
    count
        Number of units, at most.
    without
        Path of the layer and number of a unit that is left out: the unit itself.
    """
    found: list[tuple[float, LayerMaxima, int]] = []
    for layer in layers:
        correlation = correlations(layer.maxima, values, ranks, images, memory)
        found += (
            (float(correlation[index]), layer, layer.units[index])
            for index in np.flatnonzero(np.isfinite(correlation)).tolist()
            if (layer.path, layer.units[index]) != without
        )
    found.sort(key=lambda one: -one[0])  # stable
    return [
        SimilarUnit(rank, layer.name, unit, correlation, len(values))
        for rank, (correlation, layer, unit) in enumerate(found[:count], 1)
    ]


def correlations(
    maxima: np.ndarray,
    values: np.ndarray,
    ranks: bool = False,
    images: np.ndarray | None = None,
    memory: int = 2**28,
) -> np.ndarray:
    """Correlate a unit with each unit of a layer.

    Parameters
    ----------
    maxima
        float32 [units, images] of the layer.
    values
        float32 [compared images]: the unit's activations, as the network computed them, before the ReLU.
    ranks
        Correlate ranks (Spearman) instead of values (Pearson); images with equal values have their mean rank.
        Each unit's values are sorted, which takes longer.
    images
        int64 [compared images]: positions in ``maxima`` of the images of ``values``; by default all.
    memory
        Bytes that the arrays of the scan may take.

    Returns
    -------
    float64 [units], -1 to 1; NaN for units that are constant or not finite, and for all if ``values`` are.

    Raises
    ------
    InvalidArgument
        The memory is too small: a question needs 16 bytes for each image, and of ranks 40.
    """
    needed = len(values) * (BYTES_OF_RANKED if ranks else BYTES_OF_VALUE) + 4 * 8 * IMAGES_AT_ONCE
    if memory < needed:
        raise InvalidArgument(reason=f"The memory is too small: this question needs {-(-needed // 10**6)} MB.")
    result = np.full(len(maxima), np.nan)
    if not np.isfinite(values).all() or len(values) < 2:
        return result
    first = average_ranks(values) if ranks else values
    centred, squares = _centred(first)
    if squares == 0:
        return result
    rows_ahead = max(1, BYTES_AHEAD // max(1, maxima[:1].nbytes))
    for unit in range(len(maxima)):
        if unit % rows_ahead == 0:
            read_ahead(maxima[unit + 1 : unit + 1 + rows_ahead])
        row = maxima[unit] if images is None else maxima[unit][images]
        if ranks:
            row = average_ranks(row) if np.isfinite(row).all() else np.full(len(row), np.nan)
        result[unit] = _correlation(row, centred, squares)
    return result


def average_ranks(values: np.ndarray) -> np.ndarray:
    """Return the ranks of values from 1, float64; equal values have the mean of their ranks."""
    order = np.argsort(values)  # of equal values in any order: they get the same rank
    in_order = values[order]
    starts = np.concatenate([[True], in_order[1:] != in_order[:-1]]).nonzero()[0]
    ends = np.concatenate([starts[1:], [len(values)]])
    ranks = np.empty(len(values))
    ranks[order] = np.repeat((starts + ends + 1) / 2, ends - starts)
    return ranks


def _centred(values: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the differences from the mean, float64, and the sum of their squares."""
    if values.min() == values.max():  # rounding would give a tiny variance
        return np.zeros(len(values)), 0.0
    centred = values.astype(np.float64)
    centred -= centred.mean()
    return centred, _sum_of_products(centred, centred)


def _correlation(row: np.ndarray, centred: np.ndarray, squares: float) -> float:
    """Return the correlation of a row with centred values; NaN if the row is constant or not finite.

    The row is read once: its own mean is subtracted afterwards, from values relative to the row's first, so that a
    large mean cancels no digits.
    """
    total = products = own = 0.0
    first = np.float64(row[0])
    if not np.isfinite(first):
        return np.nan
    for start in range(0, len(row), IMAGES_AT_ONCE):
        block = row[start : start + IMAGES_AT_ONCE].astype(np.float64)
        block -= first
        total += float(block.sum())
        own += float(block @ block)
        products += float(block @ centred[start : start + IMAGES_AT_ONCE])
    variance = own - total * total / len(row)  # the centred values' sum is 0, so that products need no correction
    if not 0 < variance < np.inf:
        return np.nan
    return max(-1.0, min(products / math.sqrt(variance * squares), 1.0))


def _sum_of_products(first: np.ndarray, second: np.ndarray) -> float:
    steps = range(0, len(first), IMAGES_AT_ONCE)
    return sum(float(first[at : at + IMAGES_AT_ONCE] @ second[at : at + IMAGES_AT_ONCE]) for at in steps)
