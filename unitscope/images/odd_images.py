"""Image files that are no photographs and would take their reader minutes, hours or gigabytes."""

from __future__ import annotations

import re

from PIL import Image

LARGEST_ODD_PPM = 2**20  # pixels; of 12 bits, for example: Pillow decodes them in Python
MOST_SCANS = 64  # of a progressive JPEG, which has 10 or so
MOST_SEGMENTS = 10_000  # of a JPEG
MOST_VALUES = 65_536  # of a tag of a TIFF: its strips, for example

JPEG_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
START_OF_SCAN, END_OF_JPEG = b"\xff\xda", b"\xff\xd9"
TIFF_BYTES = (1, 2, 7)  # types of tags that are not made into numbers


def why_not_open(content: bytes) -> str | None:
    """Why a file must not even be opened; None if it may be."""
    if content[:2] in (b"II", b"MM") and _values_of_tag(content) > MOST_VALUES:
        return f"a TIFF with a list of more than {MOST_VALUES} numbers"
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
