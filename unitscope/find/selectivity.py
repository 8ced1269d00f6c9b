"""Class selectivity of units: how well a unit's maxima tell the images of a class from all others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unitscope.find.order import Best
from unitscope.find.similar import average_ranks

PRECISION_AT = 100  # images


@dataclass(frozen=True)
class Selectivity:
    """Selectivity of a unit for each of some classes.

    Parameters
    ----------
    labels
        int64 [classes]: the classes, by AUC descending, then by label.
    auc
        float64 [classes]: area under the ROC curve, the probability that a random image of the class has a larger
        maximum than a random other image; equal maxima count half.
    precision
        float64 [classes]: share of the ``at`` images with the largest maxima that are of the class.
    at
        ``PRECISION_AT``, or the number of images if there are fewer.
    """

    labels: np.ndarray
    auc: np.ndarray
    precision: np.ndarray
    at: int


def selectivity(values: np.ndarray, labels: np.ndarray) -> Selectivity | None:
    """Measure a unit's selectivity for each class that some images have, and some have not.

    Parameters
    ----------
    values
        float32 [images], finite: the unit's maxima, in ascending order of the images' ids.
    labels
        int [images]: classes from 0; negative for images without a class.

    Returns
    -------
    None if there is no such class, or if all values are equal.
    """
    images = len(values)
    if images == 0 or values.min() == values.max():
        return None
    has_class = labels >= 0
    counts = np.bincount(labels[has_class])
    classes = ((counts > 0) & (counts < images)).nonzero()[0]
    if not len(classes):
        return None
    # Ranks are multiples of 1/2, so that their sums are exact.
    sums = np.bincount(labels[has_class], weights=average_ranks(values)[has_class])[classes]
    members = counts[classes].astype(np.float64)
    auc = (sums - members * (members + 1) / 2) / (members * (images - members))
    at = min(PRECISION_AT, images)
    best = Best(at)
    best.add(values, 0)
    top = labels[best.images]
    of_class = np.bincount(top[top >= 0], minlength=len(counts))[classes]
    order = np.lexsort((classes, -auc))
    return Selectivity(classes[order], auc[order], of_class[order] / at, at)
