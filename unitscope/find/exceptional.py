"""Units for which an image is exceptional: how many images activate them more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unitscope.errors import NotFinite
from unitscope.find.layer import LayerMaxima
from unitscope.find.order import image_blocks

BYTES_OF_IMAGE = 1  # of a comparison


@dataclass(frozen=True)
class FoundUnit:
    """A unit that an image activates. ``percentile`` is the share of images with a smaller or the same activation,
    without the image itself, in percent."""

    rank: int
    layer: str
    unit: int
    activation: float
    images_above: int
    percentile: float


def exceptional_units(
    layers: Sequence[LayerMaxima],
    activations: Sequence[np.ndarray],
    others: int,
    count: int = 20,
    memory: int = 2**28,
) -> list[FoundUnit]:
    """Find the units that an image activates, those first that the fewest images activate more.

    Units on equal terms are ordered by their normalized activation, then as they are listed.

    Parameters
    ----------
    activations
        float32 [units] of each layer: the image's activations.
    others
        Number of images of ``layers``, without the image itself if it is among them.
    count
        Number of units, at most.
    memory
        Bytes that the arrays of the scan may take.

    Raises
    ------
    NotFinite
        An active unit is NaN or infinite on the image.
    InvalidArgument
        The memory is too small.
    """
    found: list[tuple[int, float, LayerMaxima, int, float]] = []
    for layer, values in zip(layers, activations, strict=True):
        for index in np.flatnonzero(layer.active & ~np.isfinite(values))[:1].tolist():
            where = f"On the image unit {layer.units[index]} of {layer.name}"
            raise NotFinite(where=where, value=float(values[index]))
        chosen = np.flatnonzero(layer.active & (values > 0))
        above = images_above(layer.maxima, values, memory, chosen)
        found += (
            (int(above[place]), float(values[index] / layer.scales[index]), layer, index, float(values[index]))
            for place, index in enumerate(chosen.tolist())
        )
    found.sort(key=lambda one: (one[0], -one[1]))  # stable
    return [
        FoundUnit(
            rank,
            layer.name,
            layer.units[index],
            activation,
            above,
            100 * (1 - above / others) if others else 100.0,
        )
        for rank, (above, _, layer, index, activation) in enumerate(found[:count], 1)
    ]


def images_above(
    maxima: np.ndarray, activations: np.ndarray, memory: int = 2**28, units: np.ndarray | None = None
) -> np.ndarray:
    """Count the images on which a unit's activation is larger than a given one.

    Parameters
    ----------
    maxima
        float32 [units, images].
    activations
        float32 [units]: the image's activation of each unit.
    memory
        Bytes that the arrays of the scan may take.
    units
        int64 [some units]: rows of ``maxima`` to count for; by default all.

    Returns
    -------
    int64 [some units]
    """
    chosen = np.arange(len(maxima)) if units is None else units
    above = np.zeros(len(chosen), np.int64)
    blocks = [*image_blocks(maxima.shape[1], BYTES_OF_IMAGE, memory)]
    for place, unit in enumerate(chosen.tolist()):
        values, activation = maxima[unit], np.float32(activations[unit])
        above[place] = sum(int(np.count_nonzero(values[images] > activation)) for images in blocks)
    return above
