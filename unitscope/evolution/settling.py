"""When units settle: the epoch at which a unit's top image last changes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unitscope.data.subsets import shuffled
from unitscope.search.ranking import NO_IMAGE

NEVER = 0  # instead of an epoch, which count from 1


def settled_epochs(images: np.ndarray, epochs: Sequence[int]) -> np.ndarray:
    """Return the epoch at which each unit's top image last changes.

    From that epoch on, the unit has the top image of the last epoch. A unit whose top image changes at every epoch
    has the last epoch.

    Parameters
    ----------
    images
        int64 [epochs, units]: the top image of each unit; ``NO_IMAGE`` where it has none.
    epochs
        the epochs in ascending order.

    Returns
    -------
    int64 [units]: epochs; ``NEVER`` for a unit without a top image at the last epoch.
    """
    as_at_the_end = images == images[-1]
    # Number of epochs at the end without a change: cumulated from the last one backwards.
    unchanged = np.logical_and.accumulate(as_at_the_end[::-1], axis=0).sum(0)
    settled = np.asarray(epochs, np.int64)[len(epochs) - unchanged]
    return np.where(images[-1] == NO_IMAGE, NEVER, settled)


def settled_counts(settled: np.ndarray, epochs: Sequence[int]) -> np.ndarray:
    """Count the units that are settled at each epoch: int64 [epochs].

    ``settled`` is the result of ``settled_epochs``; units that never settle are not counted.
    """
    return np.array([((settled != NEVER) & (settled <= epoch)).sum() for epoch in epochs], np.int64)


def choose_units(active: np.ndarray, count: int, seed: str) -> list[int]:
    """Choose units at random, in ascending order; units that are not active only if there are too few others.

    Parameters
    ----------
    active
        bool [units].
    count
        number of units, at most ``len(active)``.
    seed
        any text, such as the seed and the layer's name.
    """
    order = sorted(shuffled(range(len(active)), seed), key=lambda unit: not active[unit])  # stable
    return sorted(order[:count])
