"""Selection of the positions of a sweep to compute: all of them, or coarse to fine.

Coarse to fine, the positions of a wide grid are computed first, then those of successively finer grids, each with
half the spacing. A position is interpolated if the values computed around it differ by less than the tolerance and
have the same most probable class. Finally, a sample of the interpolated positions is computed to measure the
error; if it exceeds the tolerance for an image, all positions of that image are computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

INTERVALS = 6  # least number of intervals of the widest grid, in rows and in columns
SAMPLE = 32  # interpolated positions of an image that are computed to measure the error

# (image indices int64 [N], positions int64 [N, 2]) -> (values float64 [N, K], classes int64 [N])
Compute = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Surfaces:
    """Maps of a sweep.

    ``values`` float64 [images, K, rows, columns]; ``classes`` int64 [images, rows, columns]; ``computed`` bool
    [images, rows, columns], false where interpolated; ``errors`` float64 [images]: largest error on the sample, as
    a share of a map's range, NaN where nothing was interpolated.
    """

    values: np.ndarray
    classes: np.ndarray
    computed: np.ndarray
    errors: np.ndarray


def everywhere(compute: Compute, images: int, starts: Sequence[int]) -> Surfaces:
    """Compute all positions of a grid whose rows and columns are at ``starts`` (pixels)."""
    sweep = _Sweep(compute, images, starts)
    sweep.add(~sweep.computed)
    return sweep.result()


def coarse_to_fine(compute: Compute, images: int, starts: Sequence[int], tolerance: float) -> Surfaces:
    """Compute some positions and interpolate the others: see the module's docstring.

    ``tolerance`` is the largest error of interpolated positions, as a share of a map's range.
    """
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
    """State of a sweep: the positions computed so far, and the maps."""

    def __init__(self, compute: Compute, images: int, starts: Sequence[int]) -> None:
        self.compute, self.starts = compute, np.asarray(starts, np.float64)
        shape = (images, len(starts), len(starts))
        self.computed = np.zeros(shape, bool)
        self.values = np.zeros((0, *shape))  # [K, images, rows, columns]
        self.classes = np.full(shape, -1, np.int64)
        self.errors = np.full(images, np.nan)

    def lattice(self, step: int) -> np.ndarray:
        """Return the positions of a coarser grid: every ``step``-th row and column, and the last ones.

        bool [1, rows, columns].
        """
        on = np.arange(len(self.starts)) % step == 0
        on[-1] = True
        return (on[:, None] & on[None, :])[None]

    def add(self, mask: np.ndarray) -> None:
        """Compute the positions of a mask, bool [images, rows, columns]."""
        image, row, col = mask.nonzero()
        if not len(image):
            return
        values, self.classes[mask] = self.compute(image, np.stack([row, col], 1))
        if not len(self.values):
            self.values = np.zeros((values.shape[1], *self.computed.shape))
        self.values[:, mask] = values.T
        self.computed |= mask

    def ranges(self) -> np.ndarray:
        """Return largest minus smallest computed value of each map: float64 [K, images, 1, 1]."""
        high = np.where(self.computed, self.values, -np.inf).max((2, 3), keepdims=True)
        return high - np.where(self.computed, self.values, np.inf).min((2, 3), keepdims=True)

    def changing(self, reach: int, tolerance: float) -> np.ndarray:
        """Return the positions around which the maps change: bool [images, rows, columns].

        These are positions for which the values computed within ``reach`` rows and columns differ by more than the
        tolerance, or have several most probable classes.
        """
        spread = _spread(self.values, self.computed, reach) > tolerance * self.ranges()
        return spread.any(0) | (_spread(self.classes[None].astype(np.float64), self.computed, reach)[0] > 0)

    def interpolate(self, step: int) -> None:
        """Interpolate the positions of ``lattice(step)`` that were not computed, from ``lattice(2 * step)``.

        Values are interpolated bilinearly; classes are taken from the nearest position.
        """
        wide = np.flatnonzero(self.lattice(2 * step)[0, 0])
        fine = np.flatnonzero(self.lattice(step)[0, 0])
        weights = np.stack([np.interp(self.starts[fine], self.starts[wide], row) for row in np.eye(len(wide))], 1)
        between = np.einsum("ra,knab,cb->knrc", weights, self.values[..., wide[:, None], wide], weights)
        nearest = wide[np.abs(self.starts[fine][:, None] - self.starts[wide]).argmin(1)]
        missing = ~self.computed[:, fine[:, None], fine]
        positions = (slice(None), fine[:, None], fine)
        self.classes[positions] = np.where(
            missing, self.classes[:, nearest[:, None], nearest], self.classes[positions]
        )
        self.values[:, *positions] = np.where(missing, between, self.values[:, *positions])

    def measure(self, tolerance: float) -> None:
        """Measure the error on a sample; compute all positions of images whose error exceeds the tolerance."""
        sample = np.zeros_like(self.computed)
        for number, interpolated_in_image in enumerate(~self.computed):
            positions = np.flatnonzero(interpolated_in_image)
            chosen = positions[np.linspace(0, len(positions) - 1, min(SAMPLE, len(positions))).astype(int)]
            sample[number].flat[chosen] = True
        sampled = sample.any((1, 2))
        interpolated = self.values.copy()
        self.add(sample)
        with np.errstate(invalid="ignore"):  # 0 / 0 for a constant map
            errors = np.nan_to_num(np.abs(self.values - interpolated) / self.ranges()).max((0, 2, 3))
        too_large = sampled & (errors > tolerance)
        self.add(~self.computed & too_large[:, None, None])
        incomplete: np.ndarray = np.logical_not(self.computed.all((1, 2)))
        self.errors[incomplete] = errors[incomplete]

    def result(self) -> Surfaces:
        return Surfaces(self.values.swapaxes(0, 1), self.classes, self.computed, self.errors)


def _spread(values: np.ndarray, known: np.ndarray, reach: int) -> np.ndarray:
    """Return largest minus smallest known value within ``reach`` of each position: [K, images, rows, columns].

    It is 0 where no value is known.
    """
    extremes = (_largest(np.where(known, sign * values, -np.inf), reach) for sign in (1, -1))
    return np.maximum(sum(extremes), 0)


def _largest(values: np.ndarray, reach: int) -> np.ndarray:
    pooled = F.max_pool2d(torch.from_numpy(values), 2 * reach + 1, 1, reach)
    return pooled.numpy()
