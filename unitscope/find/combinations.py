"""Images that several units respond to together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unitscope.errors import InvalidArgument, NotFinite
from unitscope.find.maxima import with_read_ahead
from unitscope.find.order import Best, image_blocks
from unitscope.find.scales import normalized
from unitscope.vocabulary import Combination

ABSENT = np.float32(0.5)  # normalized activation that a unit must stay below, to count as absent
BYTES_OF_IMAGE = 24  # of the arrays of a block


@dataclass(frozen=True)
class UnitValues:
    """A unit's maxima, float32 [images], and its scale (see ``scales``). ``name`` is for messages."""

    values: np.ndarray
    scale: np.float32
    name: str = "a unit"

    def normalized(self, images: slice) -> np.ndarray:
        """Return the normalized activations of some images, float32.

        Raises
        ------
        NotFinite
            An image's activation is NaN or infinite.
        """
        values = self.values[images]
        if not np.isfinite(values).all():
            raise NotFinite(where=f"On some image {self.name}", value="NaN or infinity")
        return normalized(values, self.scale)


def combined_images(
    units: Sequence[UnitValues],
    combination: Combination = "all",
    absent: Sequence[UnitValues] = (),
    allowed: np.ndarray | None = None,
    count: int = 20,
    memory: int = 2**28,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the images with the largest combined activation of several units.

    Parameters
    ----------
    units
        At least one, all of the same images.
    combination
        The value of an image: "all" the smallest, "any" the largest, "sum" the sum of the units' normalized
        activations.
    absent
        Units whose normalized activation must be below 0.5.
    allowed
        bool [images]: images to choose from; by default all.
    count
        Number of images, at most. Images whose value is 0 are not among them.
    memory
        Bytes that the arrays of the scan may take.

    Returns
    -------
    images, values
        int64 and float64 [found]: positions of the images, and their values, by value descending, then by
        position.

    Raises
    ------
    InvalidArgument
        There are no units, or the memory is too small.
    NotFinite
        A unit's activation is NaN or infinite on some image.
    """
    if not units:
        raise InvalidArgument(reason="Give at least one unit.")
    rows = [unit.values for unit in (*units, *absent)]
    best = Best(count)
    for images in with_read_ahead(rows, image_blocks(len(rows[0]), BYTES_OF_IMAGE, memory)):
        value = _combine(units, combination, images)
        candidates = value > 0
        if allowed is not None:
            candidates &= allowed[images]
        for unit in absent:
            candidates &= unit.normalized(images) < ABSENT
        best.add(np.where(candidates, value, -np.inf), images.start)
    return best.images, best.values


def _combine(units: Sequence[UnitValues], combination: Combination, images: slice) -> np.ndarray:
    value = units[0].normalized(images)
    if combination == "sum":
        value = value.astype(np.float64)
    for unit in units[1:]:
        other = unit.normalized(images)
        if combination == "sum":
            value += other
        elif combination == "all":
            np.minimum(value, other, out=value)
        else:
            np.maximum(value, other, out=value)
    return value
