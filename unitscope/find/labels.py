"""Labels of units by soft weighted pointwise mutual information, after CLIP-Dissect (Oikarinen & Weng 2023).

A concept describes a unit well if the images that activate the unit most are similar to it, and those of other
units are not. The similarities come from any model of images and texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from unitscope.find.layer import LayerMaxima
from unitscope.find.order import Best

# As in the authors' code: number of images, temperature of the softmax, and the probability that the first and the
# last of these images show what the unit responds to.
TOP_IMAGES = 100
SHARPNESS = 10.0
FIRST, LAST = 0.998, 0.97
LEAST = 1e-7  # added to probabilities


@dataclass(frozen=True)
class UnitConcept:
    """A concept of a unit, and its score. ``concept`` is the column of the similarities."""

    unit: int
    rank: int
    concept: int
    score: float


def best_concepts(
    layer: LayerMaxima,
    images: np.ndarray,
    numbers: np.ndarray,
    similarities: Callable[[], Iterable[np.ndarray]],
    concepts: int,
    count: int,
) -> list[UnitConcept]:
    """Return the best concepts of each active unit of a layer: see ``soft_wpmi``.

    Units are compared with those of their layer: those of other layers respond to other things.

    Parameters
    ----------
    images
        int64 [chosen], ascending: positions of the images that have similarities.
    numbers
        int64 [chosen]: rows of their similarities.
    similarities
        Returns the similarities, float [some rows, concepts] each.
    count
        Number of concepts of a unit, at most. Of equal scores, the concept listed first is better.
    """
    indices = [at for at in np.flatnonzero(layer.active).tolist() if np.isfinite(layer.maxima[at]).all()]
    if not indices:
        return []
    strongest = numbers[strongest_images(layer.maxima, indices, images)]
    scores = soft_wpmi(strongest, similarities(), concepts)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    return [
        UnitConcept(layer.units[index], rank, concept, float(scores[place, concept]))
        for place, index in enumerate(indices)
        for rank, concept in enumerate(best[place].tolist(), 1)
    ]


def strongest_images(maxima: np.ndarray, units: Sequence[int], images: np.ndarray) -> np.ndarray:
    """Return the images with the largest maxima of some units.

    Parameters
    ----------
    maxima
        float32 [units, images], finite for ``units``.
    units
        Rows of ``maxima``.
    images
        int64 [chosen], ascending: positions of the images to choose from.

    Returns
    -------
    int64 [units, top], indices into ``images``, by maximum descending, then by position. There are 100, or as many
    as images.
    """
    top = min(TOP_IMAGES, len(images))
    found = np.zeros((len(units), top), np.int64)
    for place, unit in enumerate(units):
        best = Best(top)
        best.add(maxima[unit][images], 0)
        found[place] = best.images
    return found


def soft_wpmi(
    strongest: np.ndarray, similarities: Iterable[np.ndarray], concepts: int, weight: float = 1.0
) -> np.ndarray:
    """Score each concept for each unit.

    Parameters
    ----------
    strongest
        int64 [units, top]: numbers of each unit's images, the strongest first.
    similarities
        float [some images, concepts] each: similarities of all images in the order of their numbers, such as
        cosines of the embeddings. One part is in memory at a time.
    concepts
        Number of concepts.
    weight
        Weight of a concept's mean probability over all units, which makes general concepts less likely.

    Returns
    -------
    float64 [units, concepts]: log p(images | concept) - ``weight`` * log p(images), larger is better.
    """
    units, top = strongest.shape
    certainty = FIRST - np.arange(top) / top * (FIRST - LAST)
    order = np.argsort(strongest, axis=None, kind="stable")
    numbers = strongest.ravel()[order]
    scores = np.zeros((units, concepts))
    done = 0
    for part in similarities:
        start, stop = numbers.searchsorted([done, done + len(part)])
        for entry in order[start:stop].tolist():
            unit, place = divmod(entry, top)
            probability = _softmax(part[strongest[unit, place] - done])
            scores[unit] += np.log(1 + certainty[place] * (probability - 1) + LEAST)
        done += len(part)
    if missing := int((numbers >= done).sum()):
        raise ValueError(f"similarities of {missing} images are missing")
    largest = scores.max(0, initial=-np.inf)
    mean = largest + np.log(np.exp(scores - largest).mean(0))
    result: np.ndarray = scores - weight * mean
    return result


def _softmax(similarities: np.ndarray) -> np.ndarray:
    scaled = SHARPNESS * similarities.astype(np.float64)
    exponentials = np.exp(scaled - scaled.max())
    result: np.ndarray = exponentials / exponentials.sum()
    return result
