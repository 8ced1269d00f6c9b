"""Seeded subsets of labelled images: folds, and numbers of images of each class. Torch is not imported.

Images are given by their labels, in a fixed order (ascending ids), and returned as ascending indices into it. The
same labels and seed give the same subsets on every machine and version of Python.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Fold(NamedTuple):
    """One part of ``folds`` equal parts of each class; ``number`` counts from 1."""

    number: int
    folds: int


class Subsets(NamedTuple):
    """Indices of training and of test images, ascending and disjoint."""

    training: list[int]
    test: list[int]


def draw_subsets(
    labels: Sequence[int],
    splits: Subsets,
    fold: Fold | None,
    seed: int,
    *,
    per_class: int | None = None,
    test_per_class: int | None = None,
) -> Subsets:
    """Draw training and test images.

    Parameters
    ----------
    labels
        of the images of both splits, each once.
    splits
        indices of the images of the training split and of the test split.
    fold
        the part of the images of both splits, taken together, that is the test set; None: the splits are used.
    per_class, test_per_class
        number of training images, and largest number of test images, of each class; None: all.
    """
    divided = split_fold(labels, fold, seed) if fold else splits
    return Subsets(
        draw_per_class(labels, divided.training, per_class, seed),
        draw_per_class(labels, divided.test, test_per_class, seed),
    )


def split_fold(labels: Sequence[int], fold: Fold, seed: int) -> Subsets:
    """Divide the images of each class at random into ``fold.folds`` parts; part ``fold.number`` is the test set.

    The parts of a class differ by at most one image. All folds of a seed are parts of the same division.
    """
    training: list[int] = []
    test: list[int] = []
    for members in _shuffled_classes(labels, range(len(labels)), f"{seed} folds"):
        start, stop = (len(members) * part // fold.folds for part in (fold.number - 1, fold.number))
        test += members[start:stop]
        training += members[:start] + members[stop:]
    return Subsets(sorted(training), sorted(test))


def draw_per_class(labels: Sequence[int], indices: Sequence[int], count: int | None, seed: int) -> list[int]:
    """Draw ``count`` images of each class from ``indices``, or all of a class that has fewer; None: all."""
    if count is None:
        return sorted(indices)
    return sorted(
        index for members in _shuffled_classes(labels, indices, f"{seed} images") for index in members[:count]
    )


def smallest_class(labels: Sequence[int], indices: Iterable[int], classes: Iterable[int]) -> tuple[int, int]:
    """Return the class of ``classes`` that has the fewest images among ``indices``, and their number."""
    counts = Counter(labels[index] for index in indices)
    return min(((label, counts[label]) for label in sorted(classes)), key=lambda pair: pair[1])


def _shuffled_classes(labels: Sequence[int], indices: Iterable[int], seed: str) -> list[list[int]]:
    """Return the indices of each class in random order, by ascending label."""
    by_class: dict[int, list[int]] = defaultdict(list)
    for index in sorted(indices):
        by_class[labels[index]].append(index)
    return [shuffled(by_class[label], f"{seed} {label}") for label in sorted(by_class)]


def shuffled(members: Sequence[int], seed: str) -> list[int]:
    """Shuffle by random keys: later versions of Python keep the values of ``random()``, not of ``shuffle``."""
    generator = random.Random(seed)  # noqa: S311 - not for cryptography
    keys = [generator.random() for _ in members]
    return [member for _, member in sorted(zip(keys, members, strict=True))]
