"""Convolutions of differences: only the changed part of the input is multiplied.

A convolution is linear: its output for an occluded image is that for the clear image plus the convolution, without
bias, of the difference of the inputs. The difference is zero outside of the changed window, and oneDNN, which
computes convolutions on a CPU, skips products with zero padding. A window of r rows therefore costs about r rows
of products, not the r + kernel - 1 rows of the outputs that it changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from unitscope.geometry.chains import Step
from unitscope.geometry.dependence import Pair

FEWEST_CHANNELS = 16  # input channels of a convolution of differences, per group of channels


@dataclass(frozen=True)
class Frame:
    """Input of a convolution of differences, for the positions of one group.

    Windows of the output read ``size`` rows and columns of differences, and ``padding`` zeros on each side. The
    changed window lies at ``rows`` and ``cols``, int64 by row and column of the grid, in them. ``products`` is the
    number of pairs of an output row and an input row that are multiplied, times that of columns.
    """

    size: Pair
    padding: Pair
    rows: torch.Tensor
    cols: torch.Tensor
    products: int
    filled: bool  # the changed window fills the frame at all positions of the group

    def offsets(self, positions: torch.Tensor) -> torch.Tensor:
        """Return the first row and column of the changed window in the frame, int64 [N, 2]."""
        return torch.stack([self.rows[positions[:, 0]], self.cols[positions[:, 1]]], 1)


@dataclass(frozen=True)
class Side:
    """Windows along one axis: their length, and the first index of each row or column of the grid."""

    length: int
    first: torch.Tensor


def uses_differences(step: Step) -> bool:
    """Whether a convolution is computed from differences.

    Kernels of one row and column gain nothing by it; with few input channels, the products that are left out cost
    less than the windows of the clear image's output that are read instead.
    """
    module = step.module
    if not isinstance(module, nn.Conv2d):
        return False
    return max(step.kernel) > 1 and step.channels // module.groups >= FEWEST_CHANNELS


def frame(
    step: Step, read: tuple[Side, Side], out: tuple[Side, Side], chosen: tuple[np.ndarray, np.ndarray]
) -> Frame:
    """Return the frame of a convolution whose input changes in the windows ``read``, and its output in ``out``.

    ``chosen`` are the rows and the columns of the grid that belong to the group: bool [positions] each.
    """
    rows, cols = (_along(step, axis, read[axis], out[axis], torch.from_numpy(chosen[axis])) for axis in (0, 1))
    return Frame(
        size=(rows.size, cols.size),
        padding=(rows.padding, cols.padding),
        rows=rows.first,
        cols=cols.first,
        products=rows.products * cols.products,
        filled=rows.filled and cols.filled,
    )


def whole_products(step: Step, size: Pair) -> int:
    """Return ``Frame.products`` of a convolution of the whole map, with output of this size."""
    rows, cols = (
        _products(step, axis, size[axis], step.padding[axis], step.padding[axis] + step.size[axis])
        for axis in (0, 1)
    )
    return rows * cols


@dataclass(frozen=True)
class _Axis:
    size: int
    padding: int
    first: torch.Tensor
    products: int
    filled: bool


def _along(step: Step, axis: int, read: Side, out: Side, chosen: torch.Tensor) -> _Axis:
    seen = step.seen((out.length, out.length))[axis]
    # First index of the changed window in the inputs that the window of the output reads.
    first = read.first - (out.first * step.stride[axis] - step.padding[axis])
    start = min(max(int(first[chosen].min()), 0), seen - 1)
    stop = max(min(int(first[chosen].max()) + read.length, seen), start + 1)
    padding = min(start, seen - stop)
    size = seen - 2 * padding
    filled = bool((first[chosen] == padding).all()) and size == read.length
    products = _products(step, axis, out.length, padding, padding + size)
    return _Axis(size, padding, first - padding, products, filled)


def _products(step: Step, axis: int, length: int, start: int, stop: int) -> int:
    """Return the number of pairs of an output index below ``length`` and an input index from ``start`` to ``stop``
    that are multiplied."""
    read = np.arange(length)[:, None] * step.stride[axis] + np.arange(step.kernel[axis]) * step.dilation[axis]
    return int(((read >= start) & (read < stop)).sum())
