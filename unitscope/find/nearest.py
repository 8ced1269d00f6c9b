"""Images whose activations of several units are most like those of an image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unitscope.errors import InvalidArgument, NotFinite
from unitscope.find.combinations import UnitValues
from unitscope.find.maxima import with_read_ahead
from unitscope.find.order import Best, image_blocks
from unitscope.find.scales import normalized
from unitscope.vocabulary import Metric

BYTES_OF_IMAGE = 48  # of the arrays of a block


def nearest_images(
    units: Sequence[UnitValues],
    query: np.ndarray,
    metric: Metric = "cosine",
    allowed: np.ndarray | None = None,
    count: int = 20,
    memory: int = 2**28,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the images nearest to one in the space of the units' normalized activations.

    Sums are in float64 and in the order of the units, so that the memory changes no bit of the result.

    Parameters
    ----------
    units
        The axes of the space, all of the same images.
    query
        float32 [units]: activations of the image, not normalized.
    metric
        "cosine" (similarity) or "l2" (Euclidean distance).
    allowed
        bool [images]: images to choose from; by default all.
    count
        Number of images, at most. No unit is positive on an image without a direction: it has no cosine.
    memory
        Bytes that the arrays of the scan may take.

    Returns
    -------
    images, values
        int64 and float64 [found]: positions of the images, and their similarities (descending) or distances
        (ascending); equal ones by position.

    Raises
    ------
    InvalidArgument
        There are no units, the memory is too small, or, for the cosine, no unit is positive on the query.
    NotFinite
        A unit's activation is NaN or infinite on some image, or on the query.
    """
    if not units:
        raise InvalidArgument(reason="Give at least one unit.")
    activations = np.asarray(query, np.float32)
    for unit, activation in zip(units, activations, strict=True):
        if not np.isfinite(activation):
            raise NotFinite(where=f"On the image {unit.name}", value=float(activation))
    point = [float(normalized(activations[at : at + 1], unit.scale)[0]) for at, unit in enumerate(units)]
    length = np.sqrt(sum(value * value for value in point))
    if metric == "cosine" and length == 0:
        raise InvalidArgument(reason="None of the units is active on the image: it has no direction. Use l2.")
    rows = [unit.values for unit in units]
    best = Best(count)
    for images in with_read_ahead(rows, image_blocks(len(rows[0]), BYTES_OF_IMAGE, memory)):
        measure = _cosines if metric == "cosine" else _negative_distances
        value = measure(units, point, length, images)
        if allowed is not None:
            value[~allowed[images]] = -np.inf
        best.add(value, images.start)
    return best.images, best.values if metric == "cosine" else -best.values


def _cosines(units: Sequence[UnitValues], point: Sequence[float], length: float, images: slice) -> np.ndarray:
    """Return the cosines, -inf for images on which no unit is positive."""
    products = np.zeros(images.stop - images.start)
    squares = np.zeros_like(products)
    for unit, coordinate in zip(units, point, strict=True):
        values = unit.normalized(images).astype(np.float64)
        if coordinate:
            products += values * coordinate
        values *= values
        squares += values
    positive = squares > 0
    products[~positive] = -np.inf
    np.divide(products, np.sqrt(squares) * length, out=products, where=positive)
    return products


def _negative_distances(
    units: Sequence[UnitValues], point: Sequence[float], length: float, images: slice
) -> np.ndarray:
    squares = np.zeros(images.stop - images.start)
    for unit, coordinate in zip(units, point, strict=True):
        values = unit.normalized(images).astype(np.float64)
        values -= coordinate
        values *= values
        squares += values
    return -np.sqrt(squares)
