"""Distances of all pairs of images, against chance (paper, Table 1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from unitscope.correspondence.signs import Signs, hamming_to_all


@dataclass(frozen=True)
class Correspondence:
    """Hamming distances of the signs of a part and a layer, over all pairs of N images.

    Pairs are in the order (0, 1), (0, 2), ..., (1, 2), ...
    """

    images: int
    pairs: np.ndarray  # int64 [P, 2]: numbers of the images
    distances: np.ndarray  # float64 [P]: the part masked in both images
    random: np.ndarray  # float64 [R, P]: random masks of the same sizes, of R draws

    @property
    def distance(self) -> float | None:
        """Mean over the pairs; None without a pair."""
        return float(self.distances.mean()) if self.distances.size else None

    @property
    def spread(self) -> float | None:
        """Standard deviation over the pairs; None without a pair."""
        return float(self.distances.std()) if self.distances.size else None

    @property
    def random_distance(self) -> float | None:
        """Mean over the pairs and draws of random masks; None without a pair."""
        return float(self.random.mean()) if self.random.size else None

    @property
    def random_spread(self) -> float | None:
        """Standard deviation over the pairs and draws of random masks; None without a pair."""
        return float(self.random.std()) if self.random.size else None

    @property
    def random_by_pair(self) -> np.ndarray:
        """Mean over the draws of random masks: float64 [P]."""
        mean: np.ndarray = self.random.mean(0)
        return mean

    @property
    def below_chance(self) -> float | None:
        """Share of the pairs whose distance is smaller than its mean over the same pair's random masks."""
        return float((self.distances < self.random_by_pair).mean()) if self.distances.size else None


def compare(
    images: int,
    draws: int,
    read: Callable[[int, int], Signs],
    progress: Callable[[], None] = lambda: None,
) -> Correspondence:
    """Compare all pairs of images.

    Parameters
    ----------
    images
        number of images.
    draws
        number of random masks.
    read
        returns the signs of an image (from 0) and a draw (0: the part itself). The vectors of one draw are held at
        once.
    progress
        called after each draw.
    """
    pairs = np.array([(one, other) for one in range(images) for other in range(one + 1, images)], np.int64)
    rows = []
    for draw in range(draws + 1):
        vectors = [read(image, draw) for image in range(images)]
        distances = [hamming_to_all(vector, vectors[place + 1 :]) for place, vector in enumerate(vectors)]
        rows.append(np.concatenate([np.zeros(0), *distances]))
        progress()
    return Correspondence(images, pairs.reshape(-1, 2), rows[0], np.array(rows[1:]).reshape(draws, len(pairs)))
