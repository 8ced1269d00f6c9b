"""Statistics of units over a whole data set: how often and how strongly they are active."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

QUANTILES = (0.5, 0.9, 0.99, 0.999)
BINS = 40


@dataclass(frozen=True)
class UnitStatistics:
    """Statistics of a unit's spatial maximum over images, before the ReLU, as the search ranks it.

    ``fired_share`` is the share of images with a positive maximum (0 to 1), ``quantiles`` are those of
    ``QUANTILES`` with linear interpolation, ``histogram`` counts images in ``BINS`` equal bins from ``minimum`` to
    ``maximum``.
    """

    images: int
    mean: float
    minimum: float
    maximum: float
    fired_share: float
    quantiles: tuple[float, ...]
    histogram: list[int]


def unit_statistics(maxima: np.ndarray) -> list[UnitStatistics]:
    """Compute each unit's statistics from finite ``maxima``, float32 [images, units], of at least one image."""
    return [statistics_of(maxima[:, unit]) for unit in range(maxima.shape[1])]


def statistics_of(values: np.ndarray) -> UnitStatistics:
    """Compute the statistics of one unit from its finite maxima, float32 [images], of at least one image."""
    # Sorted, so that the mean doesn't depend on the order of shards. In float64, because between two adjacent
    # float32 values there is no room for the edges of a histogram's bins.
    values = np.sort(values).astype(np.float64)
    bounds = np.linspace(values[0], values[-1], BINS + 1)[1:-1]
    return UnitStatistics(
        images=len(values),
        mean=float(values.mean()),
        minimum=float(values[0]),
        maximum=float(values[-1]),
        fired_share=float((values > 0).mean()),
        quantiles=tuple(np.quantile(values, QUANTILES).tolist()),
        histogram=np.diff(values.searchsorted(bounds), prepend=0, append=len(values)).tolist(),
    )


def tied(maxima: np.ndarray, activation: np.ndarray, progress: Callable[[], None] = lambda: None) -> np.ndarray:
    """Return which ranked activations another image equals exactly: bool [units, top].

    The order of such images, or which of them is ranked at all, depends on their ids only.

    Parameters
    ----------
    maxima
        float32 [images, units]: maxima of all images.
    activation
        float32 [units, top]: ranked activations; -inf where there is none.
    progress
        Called after each unit.
    """
    ties = np.zeros(activation.shape, bool)
    for unit, listed in enumerate(activation):
        values = np.sort(maxima[:, unit])
        ties[unit] = values.searchsorted(listed, "right") - values.searchsorted(listed, "left") > 1
        progress()
    return ties
