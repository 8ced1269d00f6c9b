"""Cells of a drawn occlusion map, and its scale. Torch and matplotlib are not imported."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LEAST_SPAN = 0.01  # of a map's own scale of probabilities, so that differences of rounding are not enlarged


def cell_edges(starts: Sequence[int] | np.ndarray, patch: int) -> np.ndarray:
    """Return the borders of the cells drawn for positions, float64 [positions + 1], in pixels.

    Each cell is around the centre of its square; borders are midway between neighbouring centres.

    Parameters
    ----------
    starts
        first rows of the square, equal to its first columns, in pixels.
    patch
        side of the square, in pixels.
    """
    if len(starts) == 1:
        return np.array([starts[0], starts[0] + patch], np.float64)
    centres = np.asarray(starts, np.float64) + patch / 2
    between = (centres[1:] + centres[:-1]) / 2  # the last interval can be shorter
    return np.concatenate([[2 * centres[0] - between[0]], between, [2 * centres[-1] - between[-1]]])


def own_span(low: float, high: float) -> tuple[float, float]:
    """Return the ends of a map's own scale for its lowest and highest probability, ``LEAST_SPAN`` apart at
    least."""
    if high - low < LEAST_SPAN:
        low = min(max((low + high - LEAST_SPAN) / 2, 0.0), 1 - LEAST_SPAN)
        high = low + LEAST_SPAN
    return low, high
