"""Image files that may be hostile or odd: decoded the same way when they are registered and when they are used."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from unitscope.images.odd_images import why_not_decode, why_not_open

LARGEST_IMAGE = 89_478_485  # pixels; Pillow's own limit, which alone is only a warning
LARGEST_FILE = 256 * 2**20  # bytes
# Not all that Pillow knows: an EPS file would be handed to Ghostscript, and the rare readers are little tried.
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "GIF", "TIFF", "WEBP")

warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


class BrokenImage(Exception):
    """An image that can't be used: ``reason`` is a short code, ``detail`` what was seen."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


def read_file(path: Path) -> bytes:
    """The content of a regular file.

    Raises
    ------
    BrokenImage
        there is none, or it is too large.
    """
    try:
        if not path.is_file():  # a pipe or a device could hold the reader up for ever
            raise BrokenImage("missing file", path.name)
        if path.stat().st_size > LARGEST_FILE:
            raise BrokenImage("file too large", f"{path.stat().st_size} bytes")
        return path.read_bytes()
    except OSError as error:
        raise BrokenImage("missing file", error.strerror or str(error)) from error


def decode(content: bytes) -> Image.Image:
    """The first picture of an image file, whole, as RGB; 16 bits are brought to 8.

    Raises
    ------
    BrokenImage
    """
    try:
        if reason := why_not_open(content):
            raise BrokenImage("broken image", reason)
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > LARGEST_IMAGE:
                raise BrokenImage("image too large", f"{image.width} x {image.height} pixels")
            if reason := why_not_decode(image, content):
                raise BrokenImage("broken image", reason)
            if image.mode == "I" and image.format not in ("PPM", "PNG"):
                raise BrokenImage("broken image", "32-bit pixels have no known range")
            if image.mode == "I" or image.mode.startswith("I;16"):
                return _from_16_bits(image)
            if image.mode == "F":
                raise BrokenImage("broken image", "floating-point pixels have no known range")
            return image.convert("RGB")
    except BrokenImage:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BrokenImage("image too large", str(error)) from error
    except UnidentifiedImageError as error:
        raise BrokenImage("broken image", f"not an image of a known format ({', '.join(FORMATS)})") from error
    except Exception as error:  # Pillow's plugins raise nearly everything on a broken file
        raise BrokenImage("broken image", f"{type(error).__name__}: {error}") from error


def _from_16_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise BrokenImage("broken image", "pixels of more than 16 bits")
    grey = np.empty(values.shape, np.uint8)
    for row, bytes_of_row in zip(values, grey, strict=True):  # row by row: floats of all would take gigabytes
        bytes_of_row[:] = (row.astype(np.int64) / 257).round()
    return Image.fromarray(grey).convert("RGB")
