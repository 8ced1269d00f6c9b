"""What is to be known of a unit over a whole data set: how often and how strongly it fires."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

QUANTILES = (0.5, 0.9, 0.99, 0.999)
BINS = 40


@dataclass(frozen=True)
class UnitStatistics:
    """Of a unit's maximum in each image: the value that the search ranks by, before the ReLU.

    ``fired_share`` is that of the images where it is positive, ``quantiles`` are for ``QUANTILES`` (linear between
    two images), ``histogram`` counts the images in ``BINS`` equal steps from ``minimum`` to ``maximum``.
    """

    images: int
    mean: float
    minimum: float
    maximum: float
    fired_share: float
    quantiles: tuple[float, ...]
    histogram: list[int]


def unit_statistics(maxima: np.ndarray) -> list[UnitStatistics]:
    """The statistics of each unit, from ``maxima``, float32 [images, units], of at least one image."""
    return [_statistics(maxima[:, unit]) for unit in range(maxima.shape[1])]


def _statistics(values: np.ndarray) -> UnitStatistics:
    # Sorted, so that the order of the shards can't be seen in the mean. In double precision: between two
    # neighbours of single precision there is no room for a histogram's steps.
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


def tied(maxima: np.ndarray, activation: np.ndarray) -> np.ndarray:
    """bool [units, top]: another image fires the unit exactly as much, so that the order of the two, or which of
    them is listed at all, was decided by their ids.

    Parameters
    ----------
    maxima
        float32 [images, units]: of all images.
    activation
        float32 [units, top]: those that are listed; -inf where there is none.
    """
    found = np.zeros(activation.shape, bool)
    for unit, listed in enumerate(activation):
        values = np.sort(maxima[:, unit])
        found[unit] = values.searchsorted(listed, "right") - values.searchsorted(listed, "left") > 1
    return found
