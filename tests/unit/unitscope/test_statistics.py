"""Statistics of units, compared with a plain computation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from unitscope.search.statistics import BINS, QUANTILES, tied, unit_statistics

FINITE = st.floats(-(2.0**100), 2.0**100, width=32)
FEW = st.sampled_from([-1.0, 0.0, 0.5, 0.5, 1.0])  # so that ties are frequent
SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 3))  # images, units
MAXIMA = SHAPES.flatmap(lambda shape: arrays(np.float32, shape, elements=st.one_of(FINITE, FEW)))


def quantile(values: list[float], share: float) -> float:
    """Quantile with linear interpolation."""
    values = sorted(values)
    place = share * (len(values) - 1)
    below = int(place)
    above = min(below + 1, len(values) - 1)
    return values[below] + (place - below) * (values[above] - values[below])


@given(MAXIMA)
def test_statistics_equal_a_plain_loop(maxima: np.ndarray) -> None:
    for unit, found in enumerate(unit_statistics(maxima)):
        values = [float(value) for value in maxima[:, unit]]
        largest = max(map(abs, values))
        assert found.images == len(values)
        assert (found.minimum, found.maximum) == (min(values), max(values))
        assert found.mean == pytest.approx(sum(values) / len(values), rel=1e-9, abs=1e-9 * largest)
        assert found.fired_share == sum(value > 0 for value in values) / len(values)
        assert len(found.quantiles) == len(QUANTILES)
        for share, value in zip(QUANTILES, found.quantiles, strict=True):
            assert value == pytest.approx(quantile(values, share), rel=1e-9, abs=1e-9 * largest)


@given(MAXIMA)
def test_the_histogram_counts_each_image_in_its_bin(maxima: np.ndarray) -> None:
    for unit, found in enumerate(unit_statistics(maxima)):
        assert len(found.histogram) == BINS
        assert sum(found.histogram) == len(maxima)
        bounds = np.linspace(found.minimum, found.maximum, BINS + 1)
        below = [sum(float(value) < bound for value in maxima[:, unit]) for bound in bounds[1:-1]]
        assert np.cumsum(found.histogram)[:-1].tolist() == below


@given(MAXIMA, st.randoms(use_true_random=False))
def test_statistics_do_not_depend_on_the_order_of_images(maxima: np.ndarray, random: object) -> None:
    order = list(range(len(maxima)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert unit_statistics(maxima[order]) == unit_statistics(maxima)


def test_a_constant_unit() -> None:
    """The maximum of a dead unit is its bias on all images, up to one float32 step."""
    bias = np.float32(-0.3)
    for other in (bias, np.nextafter(bias, np.float32(0))):
        found = unit_statistics(np.array([[bias], [other]], np.float32))[0]
        assert (found.images, found.fired_share, sum(found.histogram)) == (2, 0.0, 2)


@given(SHAPES.flatmap(lambda shape: arrays(np.float32, shape, elements=FEW)), st.integers(1, 9))
def test_tied_activations_are_those_that_another_image_equals(maxima: np.ndarray, top: int) -> None:
    images, units = maxima.shape
    listed = np.full((units, top), -np.inf, np.float32)
    count = min(images, top)
    listed[:, :count] = -np.sort(-maxima, axis=0)[:count].T
    listed[~(listed > 0)] = -np.inf
    expected = [[(maxima[:, unit] == value).sum() > 1 for value in listed[unit]] for unit in range(units)]
    assert tied(maxima, listed).tolist() == expected
