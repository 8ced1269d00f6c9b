"""Labels of units by soft weighted pointwise mutual information, after CLIP-Dissect (Oikarinen & Weng 2023).

A concept describes a unit well if the images that activate the unit most are similar to it, and those of other
units are not. The similarities come from any model of images and texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from unitscope.find.order import Best

# As in the authors' code: number of images, temperature of the softmax, and the probability that the first and the
# last of these images show what the unit responds to.
TOP_IMAGES = 100
SHARPNESS = 10.0
FIRST, LAST = 0.998, 0.97
LEAST = 1e-7  # added to probabilities


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
