"""Peer of ``find images``: Fagin's threshold algorithm over lists of images sorted by each unit's activation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FIRST_DEPTH = 256


def sorted_lists(values: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return each unit's images by activation descending: int32 [images] each. They are made once, as an index."""
    return [np.argsort(-row, kind="stable").astype(np.int32) for row in values]


def threshold_algorithm(
    values: Sequence[np.ndarray], lists: Sequence[np.ndarray], combination: str, count: int
) -> np.ndarray:
    """Find the images with the largest combined activation, if it is positive.

    The lists are read to a depth that doubles, until the last found image exceeds the combination of the
    activations at this depth, which bounds all images that were not met.

    Parameters
    ----------
    values
        float32 [images] of each unit, normalized.
    lists
        From ``sorted_lists``.
    combination
        "all" or "sum".

    Returns
    -------
    int64 [found], by value descending, then by position.
    """
    images, before, depth = len(values[0]), 0, min(FIRST_DEPTH, len(values[0]))
    seen = np.zeros(images, bool)
    best, scores = np.zeros(0, np.int64), np.zeros(0)
    while True:
        new = np.zeros(images, bool)
        for one in lists:
            new[one[before:depth]] = True
        met = np.flatnonzero(new & ~seen)
        seen |= new
        value = _combine([row[met] for row in values], combination)
        best, scores = np.concatenate([best, met]), np.concatenate([scores, value])
        order = np.lexsort((best, -scores))[:count]
        order = order[scores[order] > 0]
        best, scores = best[order], scores[order]
        edge = [row[one[depth - 1 : depth]] for row, one in zip(values, lists, strict=True)]
        bound = float(_combine(edge, combination)[0])
        # An image that was not met can equal the bound, and come first by its position.
        if depth == images or bound == 0 or (len(best) == count and scores[-1] > bound):
            return best
        before, depth = depth, min(2 * depth, images)


def _combine(values: Sequence[np.ndarray], combination: str) -> np.ndarray:
    result = values[0].astype(np.float64)
    for row in values[1:]:
        result = np.minimum(result, row) if combination == "all" else result + row
    return result
