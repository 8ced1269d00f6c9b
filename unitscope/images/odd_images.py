"""Image files that are no photographs and would take their reader minutes, hours or gigabytes."""

from __future__ import annotations

import io
import re
import struct

from PIL import Image

LARGEST_ODD_PPM = 2**20  # pixels; of 12 bits, for example: Pillow decodes them in Python
MOST_SCANS = 64  # of a progressive JPEG, which has 10 or so
MOST_SEGMENTS = 10_000  # of a JPEG
MOST_BLOCKS = 100_000  # of a GIF before its first picture
MOST_VALUES = 65_536  # of a tag of a TIFF: its strips, for example

JPEG_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
START_OF_SCAN, END_OF_JPEG = b"\xff\xda", b"\xff\xd9"
GIF_HEADS = (b"GIF87a", b"GIF89a")
TIFF_BYTES = (1, 2, 7)  # types of tags that are not made into numbers


def why_not_open(content: bytes) -> str | None:
    """Why a file must not even be opened; None if it may be."""
    if content[:2] in (b"II", b"MM") and _values_of_tag(content) > MOST_VALUES:
        return f"a TIFF with a list of more than {MOST_VALUES} numbers"
    if content[:6] in GIF_HEADS and size_of_gif(content) is None:
        return "a GIF without a picture, or with too much before it"
    return None


def why_not_decode(image: Image.Image, content: bytes) -> str | None:
    """Why an opened image must not be decoded; None if it may be."""
    decoder = image.tile[0][0] if image.tile else None  # type: ignore[attr-defined]
    if decoder in ("ppm_plain", "bmp_rle"):
        return "pixels written as text, or packed in a BMP, are not read"
    if decoder == "ppm" and image.width * image.height > LARGEST_ODD_PPM:
        return f"a PPM of an odd range with more than {LARGEST_ODD_PPM} pixels"
    if image.format in ("JPEG", "MPO") and _scans(content) > MOST_SCANS:
        return f"a JPEG of more than {MOST_SCANS} scans"
    return None


def size_of_gif(content: bytes) -> tuple[int, int] | None:
    """Width and height in pixels of a GIF's first picture, found as Pillow finds it; None if there is none.

    A first frame that is larger than the canvas enlarges it.
    """
    file = io.BytesIO(content)
    head = file.read(13)
    if head[:6] not in GIF_HEADS or len(head) < 13:
        return None
    if head[10] & 128:
        file.seek(3 << ((head[10] & 7) + 1), io.SEEK_CUR)  # a table of colours
    for _ in range(MOST_BLOCKS):
        mark = file.read(1)
        if mark == b",":
            width, height, left, top, columns, rows = struct.unpack(
                "<6H", head[6:10] + file.read(8).ljust(8, b"\0")
            )
            return max(width, left + columns), max(height, top + rows)
        if mark in (b"", b";"):
            return None
        if mark == b"!" and not _passed_extension(file):
            return None
    return None


def _passed_extension(file: io.BytesIO) -> bool:
    """Read a GIF's extension to its end; False if that is too far away."""

    def block() -> bytes:
        length = file.read(1)
        return file.read(length[0]) if length else b""

    label, first = file.read(1), block()
    if label == b"\xfe" and not first:  # a comment that is empty
        return True
    if label == b"\xff" and first.startswith(b"NETSCAPE2.0"):
        block()
    return any(not block() for _ in range(MOST_BLOCKS))


def _scans(content: bytes) -> int:
    """Scans of a JPEG, each of which goes over all of its pixels; counted no further than need be."""
    scans, place = 0, 2
    for _ in range(MOST_SEGMENTS):
        marker = JPEG_MARKER.search(content, place)
        if marker is None or marker[0] == END_OF_JPEG:
            return scans
        scans += marker[0] == START_OF_SCAN
        if scans > MOST_SCANS:
            return scans
        place = marker.end() + int.from_bytes(content[marker.end() : marker.end() + 2])
    return MOST_SCANS + 1


def _values_of_tag(content: bytes) -> int:
    """How many numbers the longest tag of a TIFF's first directory says it has."""
    order = "<" if content[:2] == b"II" else ">"
    big = _number(content, 2, 2, order) == 43  # BigTIFF
    start = _number(content, 8, 8, order) if big else _number(content, 4, 4, order)
    head, entry, width = (8, 20, 8) if big else (2, 12, 4)
    tags = min(_number(content, start, head, order), 2**16)
    places = range(start + head, min(start + head + tags * entry, len(content)), entry)
    counts = (
        _number(content, place + 4, width, order)
        for place in places
        if _number(content, place + 2, 2, order) not in TIFF_BYTES
    )
    return max(counts, default=0)


def _number(content: bytes, place: int, width: int, order: str) -> int:
    return int.from_bytes(content[place : place + width], "little" if order == "<" else "big")
