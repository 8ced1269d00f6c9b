"""Perceptual hash of images: equal, or different in few bits, for copies in other sizes and qualities."""

from __future__ import annotations

import numpy as np
from PIL.Image import Image, Resampling

SIDE = 8


def perceptual_hash(image: Image) -> int:
    """Return the difference hash of an image: 64 bits, as a signed number.

    The image is reduced to 9 x 8 grey pixels. Each bit says whether a pixel is brighter than its left neighbour.
    """
    small = image.convert("L").resize((SIDE + 1, SIDE), Resampling.BOX)
    pixels = np.asarray(small, np.int16)
    bits = np.packbits((pixels[:, 1:] > pixels[:, :-1]).ravel())
    return int.from_bytes(bits.tobytes(), "big", signed=True)
