"""Normalized activations, by which units are compared: 0 is no activation, 1 the unit's scale."""

from __future__ import annotations

import numpy as np

QUANTILE = 0.999


def scales_of(quantiles: np.ndarray, maxima: np.ndarray) -> np.ndarray:
    """Return the scale of each unit: its 99.9 % quantile over the images, so that a single image of an extreme
    activation doesn't make all others small; its largest activation if the quantile is not positive; 1 if it is
    dead.

    Parameters
    ----------
    quantiles, maxima
        float [units]: the 99.9 % quantile and the largest value of each unit.

    Returns
    -------
    float32 [units]
    """
    scales = np.where(quantiles > 0, quantiles, maxima).astype(np.float32)
    return np.where(scales > 0, scales, np.float32(1))


def normalized(values: np.ndarray, scale: np.float32) -> np.ndarray:
    """Return activations, float32, as a ReLU passes them on, divided by the unit's scale."""
    result: np.ndarray = np.maximum(values, np.float32(0))
    result /= scale
    return result
