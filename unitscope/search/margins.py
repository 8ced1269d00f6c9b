"""Margins of a screening: how far maxima in low precision can be from those in float32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from unitscope.data.images import ImageSource
from unitscope.search.low_precision import ROUNDING
from unitscope.search.ranking import TopActivations, rank
from unitscope.search.search import BLOCK_BYTES, LayerSearch, Maxima, only_finite
from unitscope.vocabulary import Screen

SAFETY = 2.0
HUGE = 2.0**120  # values from here on may be infinite in the other precision
COMPARED_AT_ONCE = 4096  # images
UNITS_AT_ONCE = 64


class ScreenedLayer:
    """The maxima of a layer: in low precision of all images, and in float32 of some.

    The error of a value is relative to the value, or to the median of the unit's values if that is larger. The
    margin of a unit is ``SAFETY`` times its largest known error, and at least the error of rounding once.

    Parameters
    ----------
    units
        number of units.
    constant
        units with weights of zero, which have the same value on every image: bool [units]. Only the first images
        are in their rankings.
    top
        number of images to rank for each unit.
    precision
        of the screening.
    """

    def __init__(self, units: int, constant: np.ndarray, top: int, precision: Screen) -> None:
        self.constant, self.top, self.precision = constant, top, precision
        self.least = SAFETY * ROUNDING[precision]
        self.low = np.zeros((0, units), np.float32)  # [images, units]
        self.exact: list[LayerSearch] = []  # rankings and maxima of images that were run in float32
        self.numbers: list[np.ndarray] = []  # and their numbers
        self.others = TopActivations.empty(units, top)
        self.margin = np.zeros(units)  # relative
        self.typical = np.zeros(units)  # medians
        self.widened = np.zeros(units, bool)
        self.broken = np.zeros(units, bool)  # not finite in float32 on some image
        self._waiting: list[torch.Tensor] = []
        self._bytes = 0
        self._blocks: list[np.ndarray] = []

    def add_low(self, maxima: torch.Tensor) -> None:
        """Add the maxima of a batch in low precision, [images, units]. They stay on the device for a while, so
        that batches need no synchronization."""
        self._waiting.append(maxima)
        self._bytes += maxima.nbytes
        if self._bytes >= BLOCK_BYTES:
            self._fetch()

    def _fetch(self) -> None:
        if self._waiting:
            self._blocks.append(torch.cat(self._waiting).float().cpu().numpy())
        self._waiting, self._bytes = [], 0

    def end_low(self, others: TopActivations | None) -> None:
        """End the low precision. ``others`` is a ranking of other images of the same search."""
        self._fetch()
        self.low = np.concatenate([self.low, *self._blocks])
        self._blocks = []
        self.others = others or self.others
        if len(self.low):
            some = np.abs(self.low[:: -(-len(self.low) // COMPARED_AT_ONCE)])
            self.typical = np.median(np.where(some < HUGE, some, 0), 0).astype(np.float64)

    def add_exact(self, numbers: np.ndarray, maxima: Maxima, sources: Sequence[ImageSource]) -> None:
        """Add the maxima in float32 of images with these numbers, in ascending order, and check the margins."""
        in_float32, ranked, _ = only_finite(maxima)
        ids = [sources[number].id for number in numbers.tolist()]
        ranking = rank(ranked, maxima.positions, ids, maxima.columns, self.top, maxima.before)
        part = LayerSearch(ranking, None, {}, in_float32.cpu().numpy())
        worst = self._errors(numbers, part.maxima).max(0, initial=0.0)
        if self.exact:
            self.widened |= (worst > self.margin) & ~self.broken
        self.margin = np.maximum(self.margin, np.maximum(SAFETY * worst, self.least))
        self.broken |= part.not_finite
        self.exact.append(part)
        self.numbers.append(numbers)

    def _errors(self, numbers: np.ndarray, in_float32: np.ndarray) -> np.ndarray:
        """Return the relative errors of values in low precision, float64 [images, units]; 0 where a value is not
        finite or huge."""
        low = self.low[numbers].astype(np.float64)
        with np.errstate(invalid="ignore"):
            differences = np.abs(low - in_float32)
            sizes = np.maximum(np.abs(low), self.typical)
            differences[~(np.isfinite(in_float32) & (np.abs(low) < HUGE))] = 0
            return np.where(differences > 0, differences / np.where(sizes > 0, sizes, np.finfo(float).tiny), 0)

    def strongest(self) -> np.ndarray:
        """Return the first images to run in float32, bool [images]: the ``top`` strongest of each unit in low
        precision, unless they are below the ranking of the other images; the first images, for constant units; and
        for each unit an image whose value may not be finite."""
        chosen = np.zeros(len(self.low), bool)
        if self.constant.any():
            chosen[: self.top] = True
        cuts, count = self._cuts(), min(self.top, len(self.low))
        for start in range(0, self.low.shape[1] if count else 0, UNITS_AT_ONCE):
            units = slice(start, start + UNITS_AT_ONCE)
            values = self.low[:, units].T.copy()
            unsure = ~(np.abs(values) < HUGE)
            values[unsure | (values < cuts[units, None])] = -np.inf
            best = np.argpartition(values, -count, axis=1)[:, -count:]
            chosen[best[np.take_along_axis(values, best, 1) > -np.inf]] = True
            chosen[unsure.argmax(1)[unsure.any(1)]] = True
        return chosen

    def candidates(self) -> np.ndarray:
        """Return the images that can be in the ranking of some unit: bool [images].

        Their values exceed the unit's ninth or come within its margin, or they may not be finite.
        """
        chosen = np.zeros(len(self.low), bool)
        cuts = self._cuts()
        for start in range(0, len(self.low), COMPARED_AT_ONCE):
            low = self.low[start : start + COMPARED_AT_ONCE]
            unsure = ~(np.abs(low) < HUGE) & ~self.broken
            chosen[start : start + COMPARED_AT_ONCE] = ((low >= cuts) | unsure).any(1)
        return chosen

    def _cuts(self) -> np.ndarray:
        """Return the smallest value of each unit that may be in its ranking, float32 [units].

        The ninth of the known rankings is t, the margin m and the median s. A value x, which is in float32 at most
        x + m max(|x|, s), can reach t if x >= t / (1 + m), or, where that is below s, if x >= t - m s.
        """
        ranking = TopActivations.best_of([self.others, *(part.top for part in self.exact)])
        tiny = float(np.finfo(np.float32).smallest_subnormal)  # only positive activations are ranked
        ninth, margin = np.maximum(ranking.activation[:, -1].astype(np.float64), tiny), self.margin
        cuts = np.where(ninth >= self.typical * (1 + margin), ninth / (1 + margin), ninth - margin * self.typical)
        cuts[margin >= 1] = -np.inf
        cuts[self.constant | self.broken] = np.inf
        with np.errstate(over="ignore"):
            return np.nextafter(cuts.astype(np.float32), np.float32(-np.inf), dtype=np.float32)

    def result(self) -> LayerSearch:
        """Return the ranking in float32, and the maxima in low precision.

        Where a value in one precision is not finite, the maximum is that in float32, if it is known: those of a
        finite unit then are finite.
        """
        units = self.low.shape[1]
        merged = LayerSearch.merged([LayerSearch.empty(units, self.top, False), *self.exact])
        numbers = np.concatenate([np.zeros(0, np.int64), *self.numbers])
        low = self.low[numbers]
        self.low[numbers] = np.where(np.isfinite(low) & np.isfinite(merged.maxima), low, merged.maxima)
        recomputed, last = merged.maxima[np.argsort(numbers)], self.others.activation[:, -1]
        return LayerSearch(merged.top, None, {}, self.low, self.precision, recomputed, last)
