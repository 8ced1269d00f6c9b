"""Decoding of image files, which may be hostile or damaged.

Registration of a data set and computation use the same functions, so that both accept the same files.
"""

from __future__ import annotations

import io
import stat
import struct
from pathlib import Path

import numpy as np
from PIL import (  # importing a plugin registers it in ``Image.OPEN``
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

from unitscope.images import orientation as exif
from unitscope.images.decoder_messages import few_messages
from unitscope.images.formats import unsupported_format
from unitscope.images.odd_images import reason_not_to_decode, reason_not_to_open, size_of_gif

LARGEST_IMAGE = 89_478_485  # pixels; Pillow's own limit, above which it only warns
LARGEST_FILE = 256 * 2**20  # bytes
# A part of Pillow's formats: EPS files would be run by Ghostscript, and readers of rare formats are little tested.
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "GIF", "TIFF", "WEBP")
NOT_SUPPORTED = f"not an image of a supported format ({', '.join(FORMATS)})"


class BrokenImage(Exception):
    """An image file can't be used: ``reason`` is the category, ``detail`` describes the problem."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


class UnavailableFile(BrokenImage):
    """An image file is missing or can't be read, which says nothing about its content."""


def read_file(path: Path) -> bytes:
    """Read a regular file.

    Raises
    ------
    UnavailableFile
        the file is missing, can't be read, or is not a regular file (Docker makes a folder of a missing file).
    BrokenImage
        it is larger than ``LARGEST_FILE``, or has the name of a format that is not read.
    """
    if form := unsupported_format(b"", path.name):
        raise _unsupported(form)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # reading a pipe or a device could block for ever
            raise UnavailableFile("missing file", f"{path.name} is not a regular file")
        if status.st_size > LARGEST_FILE:
            raise BrokenImage("file too large", f"{status.st_size} bytes")
        # Files of /proc have size 0, and reading some of them never ends.
        return path.read_bytes() if status.st_size else b""
    except OSError as error:
        raise UnavailableFile("missing file", error.strerror or str(error)) from error


def decode(content: bytes, *, upright: bool = False) -> Image.Image:
    """Decode the first frame of an image file as RGB; 16-bit pixels are scaled to 8 bits.

    Parameters
    ----------
    upright
        turn the image as its EXIF orientation says; False leaves the pixels as they are stored.

    Raises
    ------
    BrokenImage
        the file is damaged, of an unsupported format, too large, or has pixels of an unknown range.
    """
    image, orientation = decode_as_stored(content)
    return exif.upright(image, orientation) if upright else image


def decode_as_stored(content: bytes) -> tuple[Image.Image, int]:
    """Decode an image file as ``decode`` does, without turning it, and return its EXIF orientation (1 to 8) too.

    Raises
    ------
    BrokenImage
    """
    try:
        if reason := reason_not_to_open(content):
            raise BrokenImage("broken image", reason)
        _refuse_too_large(size_of_gif(content) or (0, 0))  # before Pillow warns of a large GIF while opening it
        with few_messages(), _opened(content) as image:
            _refuse_too_large(image.size)
            if reason := reason_not_to_decode(image, content):
                raise BrokenImage("broken image", reason)
            if image.mode == "I" and image.format not in ("PPM", "PNG"):
                raise BrokenImage("broken image", "32-bit pixels have no known range")
            if image.mode == "F":
                raise BrokenImage("broken image", "floating-point pixels have no known range")
            has_16_bits = image.mode == "I" or image.mode.startswith("I;16")
            pixels = _from_16_bits(image) if has_16_bits else image.convert("RGB")
            return pixels, exif.orientation(image)  # a PNG's EXIF may follow its pixels
    except BrokenImage:
        raise
    except Image.DecompressionBombError as error:
        raise BrokenImage("image too large", str(error)) from error
    except Exception as error:  # Pillow's plugins can raise anything on a damaged file
        raise BrokenImage("broken image", f"{type(error).__name__}: {error}") from error


def _opened(content: bytes) -> ImageFile.ImageFile:
    """Open an image of one of ``FORMATS`` as ``Image.open`` does, but without its warnings of large images.

    Images are decoded by many threads, and Python's warning filters can't be set for one thread alone.

    Raises
    ------
    BrokenImage
        no reader of ``FORMATS`` accepts the file.
    """
    for name in FORMATS:
        reader, accepts = Image.OPEN[name]
        accepted = accepts(content[:16]) if accepts else True
        if not accepted or isinstance(accepted, str):  # a string explains why this build can't read the format
            continue
        try:
            return reader(io.BytesIO(content), "")
        except (SyntaxError, IndexError, TypeError, struct.error):  # the prefix matched, but the format is another
            continue
    if form := unsupported_format(content):
        raise _unsupported(form)
    raise BrokenImage("broken image", NOT_SUPPORTED)


def _unsupported(form: str) -> BrokenImage:
    return BrokenImage(f"unsupported format ({form}): convert to JPEG or PNG", NOT_SUPPORTED)


def _refuse_too_large(size: tuple[int, int]) -> None:
    width, height = size
    if width * height > LARGEST_IMAGE:
        raise BrokenImage("image too large", f"{width} x {height} pixels")


def _from_16_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise BrokenImage("broken image", "pixels of more than 16 bits")
    grey = np.empty(values.shape, np.uint8)
    # Row by row, because the whole image in float64 could take gigabytes.
    for row, bytes_of_row in zip(values, grey, strict=True):
        bytes_of_row[:] = (row.astype(np.int64) / 257).round()
    return Image.fromarray(grey).convert("RGB")
