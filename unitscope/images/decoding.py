"""Image files that may be hostile or odd: decoded the same way when they are registered and when they are used."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
from PIL import (  # the plugins make themselves known to ``Image.OPEN``
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    ImageFile,
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    PpmImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    WebPImagePlugin,  # noqa: F401
)

from unitscope.images.odd_images import size_of_gif, why_not_decode, why_not_open

LARGEST_IMAGE = 89_478_485  # pixels; Pillow's own limit, above which it only warns
LARGEST_FILE = 256 * 2**20  # bytes
# Not all that Pillow knows: an EPS file would be handed to Ghostscript, and the rare readers are little tried.
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "GIF", "TIFF", "WEBP")


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
        if (size := path.stat().st_size) > LARGEST_FILE:
            raise BrokenImage("file too large", f"{size} bytes")
        return path.read_bytes() if size else b""  # those of /proc have none, and some never end
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
        _refuse_too_large(size_of_gif(content) or (0, 0))  # Pillow would warn while it opens it
        with _opened(content) as image:
            _refuse_too_large(image.size)
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
    except Image.DecompressionBombError as error:
        raise BrokenImage("image too large", str(error)) from error
    except Exception as error:  # Pillow's plugins raise nearly everything on a broken file
        raise BrokenImage("broken image", f"{type(error).__name__}: {error}") from error


def _opened(content: bytes) -> ImageFile.ImageFile:
    """Open an image of one of ``FORMATS`` as ``Image.open`` does, which would also warn of large ones.

    A warning can neither be silenced nor made an error for one thread alone, and images are decoded in many.

    Raises
    ------
    BrokenImage
        none of the formats' readers takes it.
    """
    for name in FORMATS:
        reader, accepts = Image.OPEN[name]
        accepted = accepts(content[:16]) if accepts else True
        if not accepted or isinstance(accepted, str):  # a text says why this format can't be read here
            continue
        try:
            return reader(io.BytesIO(content), "")
        except (SyntaxError, IndexError, TypeError, struct.error):  # not of this format after all
            continue
    raise BrokenImage("broken image", f"not an image of a known format ({', '.join(FORMATS)})")


def _refuse_too_large(size: tuple[int, int]) -> None:
    width, height = size
    if width * height > LARGEST_IMAGE:
        raise BrokenImage("image too large", f"{width} x {height} pixels")


def _from_16_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise BrokenImage("broken image", "pixels of more than 16 bits")
    grey = np.empty(values.shape, np.uint8)
    for row, bytes_of_row in zip(values, grey, strict=True):  # row by row: floats of all would take gigabytes
        bytes_of_row[:] = (row.astype(np.int64) / 257).round()
    return Image.fromarray(grey).convert("RGB")
