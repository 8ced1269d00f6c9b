"""Statistics of the filters of a convolution, and which filters are dead or dominate (paper, section 4.1).

The paper saw that a few filters of the first layer dominated, and scaled every filter whose root mean square (RMS)
exceeded 0.1 back to 0.1. It does not define dead and dominating filters: here they are relative to the median.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DEAD_SHARE = 0.05  # of the median RMS: a filter with at most this RMS counts as dead
DOMINATING_SHARE = 3.0  # of the median RMS: a filter with a larger RMS counts as dominating
RMS_LIMIT = 0.1  # of the paper's training, for inputs from -128 to 128
PAPER_HALF_RANGE = 128.0


@dataclass(frozen=True)
class FilterStatistics:
    """Statistics of a layer's filters; arrays have one value for each filter [N], float64 or bool.

    ``rms`` is the root mean square of a filter's weights, ``norm`` the square root of their sum of squares.
    ``median_rms`` is the (lower) median RMS of the layer's filters that are not zero, 0 if all are zero.
    A filter is ``dead`` if its RMS is at most 5 % of it, ``dominating`` if it is more than three times it, and
    ``over_limit`` if it is above ``rms_limit``, the limit of the paper's training.
    """

    rms: np.ndarray
    norm: np.ndarray
    mean: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray
    dead: np.ndarray
    dominating: np.ndarray
    over_limit: np.ndarray
    median_rms: float
    rms_limit: float


def filter_statistics(weight: np.ndarray, rms_limit: float = RMS_LIMIT) -> FilterStatistics:
    """Compute the statistics of filters float32 [N, C, h, w], in float64."""
    values = weight.reshape(len(weight), -1).astype(np.float64)
    squares = np.square(values)
    rms = np.sqrt(squares.mean(1))
    nonzero = np.sort(rms[rms > 0])
    median = float(nonzero[(len(nonzero) - 1) // 2]) if len(nonzero) else 0.0
    return FilterStatistics(
        rms=rms,
        norm=np.sqrt(squares.sum(1)),
        mean=values.mean(1),
        minimum=values.min(1),
        maximum=values.max(1),
        dead=rms <= DEAD_SHARE * median,
        dominating=rms > DOMINATING_SHARE * median,
        over_limit=rms > rms_limit,
        median_rms=median,
        rms_limit=rms_limit,
    )


def paper_rms_limit(reads_pixels: bool, std: Sequence[float]) -> float:
    """Return the paper's limit of the RMS of a layer's filters.

    It holds for pixels from -128 to 128. The filters of a layer that ``reads_pixels`` of another range, normalized
    with ``std`` by channel, need weights that are larger or smaller by the ratio of the ranges.
    """
    half_range = 0.5 / (sum(std) / len(std))
    return RMS_LIMIT * (PAPER_HALF_RANGE / half_range if reads_pixels else 1.0)
