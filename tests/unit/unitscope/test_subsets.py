"""Seeded subsets of labelled images."""

from __future__ import annotations

from collections import Counter

import pytest

from unitscope.data.subsets import Fold, draw_per_class, smallest_class, split_fold

LABELS = [0, 1, 2] * 10 + [3] * 7


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_each_image_is_in_the_test_set_of_one_fold(folds: int) -> None:
    tested: Counter[int] = Counter()
    for number in range(1, folds + 1):
        training, test = split_fold(LABELS, Fold(number, folds), seed=4)
        assert sorted([*training, *test]) == list(range(len(LABELS)))
        counts = Counter(LABELS[index] for index in test)
        assert all(10 // folds <= counts[label] <= -(-10 // folds) for label in (0, 1, 2))
        tested.update(test)
    assert tested == Counter(range(len(LABELS)))


def test_the_seed_determines_the_folds() -> None:
    assert split_fold(LABELS, Fold(1, 5), 1) == split_fold(LABELS, Fold(1, 5), 1)
    assert split_fold(LABELS, Fold(1, 5), 1) != split_fold(LABELS, Fold(1, 5), 2)


def test_folds_are_the_same_in_later_versions() -> None:
    """Runs of a job on another machine must use the same images."""
    assert split_fold(LABELS, Fold(2, 5), 0).test == [0, 2, 4, 10, 14, 27, 33]
    assert draw_per_class(LABELS, range(len(LABELS)), 2, 0) == [3, 17, 19, 20, 22, 27, 31, 33]


def test_a_number_of_each_class_is_drawn() -> None:
    drawn = draw_per_class(LABELS, range(5, 37), 4, seed=0)
    assert drawn == sorted(set(drawn))
    assert min(drawn) >= 5
    assert Counter(LABELS[index] for index in drawn) == {0: 4, 1: 4, 2: 4, 3: 4}
    assert Counter(LABELS[i] for i in draw_per_class(LABELS, range(37), 8, seed=0)) == {0: 8, 1: 8, 2: 8, 3: 7}
    assert draw_per_class(LABELS, [7, 2], None, seed=0) == [2, 7]
    assert drawn != draw_per_class(LABELS, range(5, 37), 4, seed=1)


def test_a_smaller_number_is_a_part_of_a_larger_one() -> None:
    few, many = (draw_per_class(LABELS, range(37), count, seed=3) for count in (2, 5))
    assert set(few) < set(many)


def test_the_smallest_class_may_have_no_images() -> None:
    assert smallest_class(LABELS, range(37), {0, 1, 2, 3}) == (3, 7)
    assert smallest_class(LABELS, range(30), {0, 3}) == (3, 0)
