"""Which places of a sweep are computed: all, or few at first and more where the maps change.

Coarse to fine: the places of a wide grid are computed first, then those of grids half as wide each. A place is
left out where all that was computed around it differs by less than the tolerance, and has one most probable class;
it is interpolated. A sample of what was left out is computed after all: it measures the error, and where that
exceeds the tolerance nothing is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

INTERVALS = 6  # of the widest grid, at least: from fewer nothing can be said
SAMPLE = 32  # places of an image that measure the error

# (images int64 [N], places int64 [N, 2]) -> (values float64 [N, K], classes int64 [N])
Compute = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Surfaces:
    """Values float64 [images, K, rows, columns], classes int64 [images, rows, columns], which of them were
    computed, bool likewise, and of each image the largest error on the sample, float64, in shares of a map's
    range; NaN where nothing was left out."""

    values: np.ndarray
    classes: np.ndarray
    computed: np.ndarray
    errors: np.ndarray


def everywhere(compute: Compute, images: int, starts: Sequence[int]) -> Surfaces:
    """All places: rows and columns of a grid begin at ``starts``."""
    sweep = _Sweep(compute, images, starts)
    sweep.add(~sweep.computed)
    return sweep.result()


def coarse_to_fine(compute: Compute, images: int, starts: Sequence[int], tolerance: float) -> Surfaces:
    """As many places as are needed for errors of at most ``tolerance``, a share of each map's range; see above."""
    sweep = _Sweep(compute, images, starts)
    step = 1
    while len(starts) > 2 * step * INTERVALS:
        step *= 2
    sweep.add(sweep.lattice(step) & ~sweep.computed)
    while step > 1:
        step //= 2
        sweep.add(sweep.lattice(step) & ~sweep.computed & sweep.changing(2 * step, tolerance))
        sweep.interpolate(step)
    sweep.measure(tolerance)
    return sweep.result()


class _Sweep:
    """What is known of the maps so far."""

    def __init__(self, compute: Compute, images: int, starts: Sequence[int]) -> None:
        self.compute, self.starts = compute, np.asarray(starts, np.float64)
        shape = (images, len(starts), len(starts))
        self.computed = np.zeros(shape, bool)
        self.values = np.zeros((0, *shape))  # [K, images, rows, columns]
        self.classes = np.full(shape, -1, np.int64)
        self.errors = np.full(images, np.nan)

    def lattice(self, step: int) -> np.ndarray:
        """bool [1, rows, columns]: every ``step``-th row and column, and the last ones."""
        on = np.arange(len(self.starts)) % step == 0
        on[-1] = True
        return (on[:, None] & on[None, :])[None]

    def add(self, wanted: np.ndarray) -> None:
        """Compute these places, bool [images, rows, columns]."""
        image, row, col = wanted.nonzero()
        if not len(image):
            return
        values, self.classes[wanted] = self.compute(image, np.stack([row, col], 1))
        if not len(self.values):
            self.values = np.zeros((values.shape[1], *self.computed.shape))
        self.values[:, wanted] = values.T
        self.computed |= wanted

    def ranges(self) -> np.ndarray:
        """Of what was computed: float64 [K, images, 1, 1]."""
        high = np.where(self.computed, self.values, -np.inf).max((2, 3), keepdims=True)
        return high - np.where(self.computed, self.values, np.inf).min((2, 3), keepdims=True)

    def changing(self, reach: int, tolerance: float) -> np.ndarray:
        """bool [images, rows, columns]: whether what was computed at most ``reach`` rows and columns away differs
        by more than the tolerance, or has several classes."""
        spread = _spread(self.values, self.computed, reach) > tolerance * self.ranges()
        return spread.any(0) | (_spread(self.classes[None].astype(np.float64), self.computed, reach)[0] > 0)

    def interpolate(self, step: int) -> None:
        """Fill in what was not computed of the places between those of a lattice twice as wide: values bilinearly,
        classes from the nearest."""
        wide = np.flatnonzero(self.lattice(2 * step)[0, 0])
        fine = np.flatnonzero(self.lattice(step)[0, 0])
        weights = np.stack([np.interp(self.starts[fine], self.starts[wide], row) for row in np.eye(len(wide))], 1)
        between = np.einsum("ra,knab,cb->knrc", weights, self.values[..., wide[:, None], wide], weights)
        nearest = wide[np.abs(self.starts[fine][:, None] - self.starts[wide]).argmin(1)]
        missing = ~self.computed[:, fine[:, None], fine]
        places = (slice(None), fine[:, None], fine)
        self.classes[places] = np.where(missing, self.classes[:, nearest[:, None], nearest], self.classes[places])
        self.values[:, *places] = np.where(missing, between, self.values[:, *places])

    def measure(self, tolerance: float) -> None:
        """Compute a sample of what was left out; where the error is too large, all of it."""
        sample = np.zeros_like(self.computed)
        for number, left_out in enumerate(~self.computed):
            places = np.flatnonzero(left_out)
            chosen = places[np.linspace(0, len(places) - 1, min(SAMPLE, len(places))).astype(int)]
            sample[number].flat[chosen] = True
        sampled = sample.any((1, 2))
        interpolated = self.values.copy()
        self.add(sample)
        with np.errstate(invalid="ignore"):  # a map that is constant: 0 / 0
            errors = np.nan_to_num(np.abs(self.values - interpolated) / self.ranges()).max((0, 2, 3))
        too_large = sampled & (errors > tolerance)
        self.add(~self.computed & too_large[:, None, None])
        incomplete: np.ndarray = np.logical_not(self.computed.all((1, 2)))
        self.errors[incomplete] = errors[incomplete]

    def result(self) -> Surfaces:
        return Surfaces(self.values.swapaxes(0, 1), self.classes, self.computed, self.errors)


def _spread(values: np.ndarray, known: np.ndarray, reach: int) -> np.ndarray:
    """Largest minus smallest of what is known around each place: [K, images, rows, columns]; 0: nothing is."""
    most = (_largest(np.where(known, sign * values, -np.inf), reach) for sign in (1, -1))
    return np.maximum(sum(most), 0)


def _largest(values: np.ndarray, reach: int) -> np.ndarray:
    pooled = F.max_pool2d(torch.from_numpy(values), 2 * reach + 1, 1, reach)
    return pooled.numpy()
