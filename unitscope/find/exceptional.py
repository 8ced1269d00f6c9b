"""Units for which an image is exceptional: how many images activate them more."""

from __future__ import annotations

import numpy as np

from unitscope.find.order import image_blocks

BYTES_OF_IMAGE = 1  # of a comparison


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
