"""Encoding of photographic pixels as PNG files."""

from __future__ import annotations

import struct

import numpy as np
from isal import isal_zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
EIGHT_BITS, RGB = 8, 2  # fields of the header
UP = 2  # the filter of a row: differences from the row above
LEVEL = 1  # of igzip's compression


def photographic_png(picture: np.ndarray) -> bytes:
    """Encode a picture, uint8 [rows, columns, 3], of which neighbouring pixels are similar but seldom equal.

    All rows have the same filter, and are compressed by ISA-L's igzip, in a quarter of the time of zlib's fastest
    setting and to files as small. Pillow's encoder tries all filters on each row and compresses with zlib, in more
    than ten times the time, to files that are a few per cent smaller. For drawings, which repeat themselves, its
    files are much smaller.
    """
    rows, columns = picture.shape[:2]
    values = picture.reshape(rows, columns * 3)
    filtered = np.empty((rows, 1 + columns * 3), np.uint8)
    filtered[:, 0] = UP
    filtered[0, 1:] = values[0]
    np.subtract(values[1:], values[:-1], out=filtered[1:, 1:])
    header = struct.pack(">IIBBBBB", columns, rows, EIGHT_BITS, RGB, 0, 0, 0)
    pixels = isal_zlib.compress(filtered.data, LEVEL)
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = isal_zlib.crc32(content, isal_zlib.crc32(kind))
    return b"".join((struct.pack(">I", len(content)), kind, content, struct.pack(">I", checksum)))
