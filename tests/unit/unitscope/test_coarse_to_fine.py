"""Coarse-to-fine sweeps: interpolated positions, their values, and the measured error."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from unitscope.occlusion.coarse_to_fine import Surfaces, coarse_to_fine, everywhere

STARTS = [*range(0, 200, 4), 197]  # the last interval is shorter
COUNT = len(STARTS)
Field = Callable[[np.ndarray, np.ndarray], np.ndarray]  # function of row and column in pixels


class Counted:
    """Computes one field per image, and counts the computations of each position."""

    def __init__(self, *fields: Field) -> None:
        self.fields = fields
        self.counts = np.zeros((len(fields), COUNT, COUNT), int)

    def __call__(self, images: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        np.add.at(self.counts, (images, positions[:, 0], positions[:, 1]), 1)
        rows, cols = (np.asarray(STARTS, float)[positions[:, axis]] for axis in (0, 1))
        found = np.array(
            [self.fields[image](row, col) for image, row, col in zip(images, rows, cols, strict=True)]
        )
        return np.stack([found, 2 * found + 1], 1), (found > 50).astype(np.int64)


def errors(found: Surfaces, exact: Surfaces) -> np.ndarray:
    """Return the largest error of each image, as a share of a map's range."""
    ranges = np.ptp(exact.values, axis=(2, 3), keepdims=True)
    return (np.abs(found.values - exact.values) / np.where(ranges > 0, ranges, 1)).max((1, 2, 3))


def bump(row: np.ndarray, col: np.ndarray) -> np.ndarray:
    return 40 * np.exp(-((row - 90) ** 2 + (col - 60) ** 2) / 2 / 30**2)


def noise(row: np.ndarray, col: np.ndarray) -> np.ndarray:
    return np.random.default_rng(int(row * 1000 + col)).random()


def test_everywhere_computes_each_position_once() -> None:
    compute = Counted(bump, noise)
    found = everywhere(compute, 2, STARTS)
    assert (compute.counts == 1).all()
    assert found.computed.all()
    assert np.isnan(found.errors).all()
    assert found.values[0, 0, 3, 5] == bump(12, 20)
    np.testing.assert_array_equal(found.values[:, 1], 2 * found.values[:, 0] + 1)


@pytest.mark.parametrize("tolerance", [0.02, 0.05, 0.2])
def test_smooth_maps_need_few_positions_and_are_within_the_tolerance(tolerance: float) -> None:
    compute = Counted(bump)
    found = coarse_to_fine(compute, 1, STARTS, tolerance)
    assert compute.counts.max() == 1
    assert (compute.counts > 0).sum() == found.computed.sum() < 0.8 * COUNT**2
    assert errors(found, everywhere(Counted(bump), 1, STARTS))[0] <= tolerance
    assert 0 <= found.errors[0] <= tolerance


def test_a_larger_tolerance_needs_fewer_positions() -> None:
    counts = [coarse_to_fine(Counted(bump), 1, STARTS, share).computed.sum() for share in (0.01, 0.05, 0.2)]
    assert counts[0] > counts[1] > counts[2]


def test_maps_that_change_everywhere_are_computed_everywhere() -> None:
    found = coarse_to_fine(Counted(noise), 1, STARTS, 0.02)
    assert found.computed.all()
    assert np.isnan(found.errors).all()


def test_the_sample_detects_what_the_wide_grid_misses() -> None:
    def spikes(row: np.ndarray, col: np.ndarray) -> np.ndarray:
        """Constant on the wide grid (multiples of 32 and the last row and column), but not between."""
        return 10.0 * (bump(row, col) > 30) + 10.0 * ((row % 16 == 4) & (row < 190))

    exact = everywhere(Counted(spikes), 1, STARTS)
    found = coarse_to_fine(Counted(spikes), 1, STARTS, 0.1)
    assert errors(found, exact)[0] <= 0.1
    assert found.computed.all()


def test_images_do_not_affect_each_other() -> None:
    together = coarse_to_fine(Counted(bump, noise, bump), 3, STARTS, 0.05)
    alone = coarse_to_fine(Counted(bump), 1, STARTS, 0.05)
    for name in ("values", "classes", "computed", "errors"):
        for image in (0, 2):
            np.testing.assert_array_equal(getattr(together, name)[image], getattr(alone, name)[0])


def test_positions_around_a_change_of_the_class_are_computed() -> None:
    def slope(row: np.ndarray, col: np.ndarray) -> np.ndarray:
        return row * 0.5 + 0 * col

    exact = everywhere(Counted(slope), 1, STARTS)
    found = coarse_to_fine(Counted(slope), 1, STARTS, 0.9)
    assert not found.computed.all()
    np.testing.assert_array_equal(found.classes, exact.classes)


def test_a_constant_map_needs_the_wide_grid_and_the_sample_only() -> None:
    found = coarse_to_fine(Counted(lambda row, col: 7.0 + 0 * row), 1, STARTS, 0.02)
    assert found.computed.sum() < 200
    assert (found.values[0, 0] == 7).all()
    assert found.errors[0] == 0


def test_a_small_grid_is_computed_completely() -> None:
    compute = Counted(bump)
    assert coarse_to_fine(compute, 1, STARTS[:5], 0.5).computed.all()
