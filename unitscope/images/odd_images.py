"""Detection of image files, never photographs, whose decoding would take minutes or gigabytes."""

from __future__ import annotations

import io
import re
import struct

from PIL import Image

LARGEST_ODD_PPM = 2**20  # pixels of a PPM of other than 8 or 16 bits, which Pillow decodes in Python
MOST_SCANS = 64  # of a JPEG; a progressive one has about 10
MOST_SEGMENTS = 10_000  # of a JPEG
MOST_BLOCKS = 100_000  # of a GIF before its first frame
MOST_VALUES = 65_536  # of a TIFF tag, for example the offsets of strips
MOST_FAX_ROWS = 65_536  # of a TIFF that is compressed as a fax; libtiff reports an error for each

JPEG_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
START_OF_SCAN, END_OF_JPEG = b"\xff\xda", b"\xff\xd9"
GIF_HEADS = (b"GIF87a", b"GIF89a")
FAX = ("group3", "group4", "tiff_ccitt")
TIFF_BYTES = (1, 2, 7)  # tag types that Pillow keeps as bytes


def reason_not_to_open(content: bytes) -> str | None:
    """Return why a file must not be opened with Pillow; None if it may be."""
    if content[:2] in (b"II", b"MM") and _values_of_tag(content) > MOST_VALUES:
        return f"a TIFF with a tag of more than {MOST_VALUES} values"
    if content[:6] in GIF_HEADS and size_of_gif(content) is None:
        return f"a GIF without a frame, or with more than {MOST_BLOCKS} blocks before it"
    return None


def reason_not_to_decode(image: Image.Image, content: bytes) -> str | None:
    """Return why an opened image must not be decoded; None if it may be."""
    decoder = image.tile[0][0] if image.tile else None  # type: ignore[attr-defined]
    if decoder in ("ppm_plain", "bmp_rle"):
        return "plain-text PPM and run-length encoded BMP are not supported"
    if decoder == "ppm" and image.width * image.height > LARGEST_ODD_PPM:
        return f"a PPM with an unusual maximum value and more than {LARGEST_ODD_PPM} pixels"
    if image.info.get("compression") in FAX and image.height > MOST_FAX_ROWS:
        return f"a fax of more than {MOST_FAX_ROWS} rows"
    if image.format in ("JPEG", "MPO") and _scans(content) > MOST_SCANS:
        return f"a JPEG with more than {MOST_SCANS} scans"
    return None


def size_of_gif(content: bytes) -> tuple[int, int] | None:
    """Return width and height in pixels of a GIF, as Pillow determines them; None if no frame is found.

    A first frame that exceeds the canvas enlarges it.
    """
    file = io.BytesIO(content)
    head = file.read(13)
    if head[:6] not in GIF_HEADS or len(head) < 13:
        return None
    if head[10] & 128:
        file.seek(3 << ((head[10] & 7) + 1), io.SEEK_CUR)  # global colour table
    for _ in range(MOST_BLOCKS):
        introducer = file.read(1)
        if introducer == b",":
            width, height, left, top, columns, rows = struct.unpack(
                "<6H", head[6:10] + file.read(8).ljust(8, b"\0")
            )
            return max(width, left + columns), max(height, top + rows)
        if introducer in (b"", b";"):
            return None
        if introducer == b"!" and not _skip_extension(file):
            return None
    return None


def _skip_extension(file: io.BytesIO) -> bool:
    """Read a GIF's extension to its end; False if it has more than ``MOST_BLOCKS`` blocks."""

    def block() -> bytes:
        length = file.read(1)
        return file.read(length[0]) if length else b""

    label, first = file.read(1), block()
    if label == b"\xfe" and not first:  # an empty comment
        return True
    if label == b"\xff" and first.startswith(b"NETSCAPE2.0"):
        block()
    return any(not block() for _ in range(MOST_BLOCKS))


def _scans(content: bytes) -> int:
    """Count the scans of a JPEG, up to ``MOST_SCANS`` + 1. Decoding processes all pixels once for each scan."""
    scans, position = 0, 2
    for _ in range(MOST_SEGMENTS):
        marker = JPEG_MARKER.search(content, position)
        if marker is None or marker[0] == END_OF_JPEG:
            return scans
        scans += marker[0] == START_OF_SCAN
        if scans > MOST_SCANS:
            return scans
        position = marker.end() + int.from_bytes(content[marker.end() : marker.end() + 2])
    return MOST_SCANS + 1


def _values_of_tag(content: bytes) -> int:
    """Return the largest number of values that a tag of a TIFF's first directory declares."""
    order = "<" if content[:2] == b"II" else ">"
    big = _number(content, 2, 2, order) == 43  # BigTIFF
    start = _number(content, 8, 8, order) if big else _number(content, 4, 4, order)
    head, entry, width = (8, 20, 8) if big else (2, 12, 4)
    tags = min(_number(content, start, head, order), 2**16)
    offsets = range(start + head, min(start + head + tags * entry, len(content)), entry)
    counts = (
        _number(content, offset + 4, width, order)
        for offset in offsets
        if _number(content, offset + 2, 2, order) not in TIFF_BYTES
    )
    return max(counts, default=0)


def _number(content: bytes, offset: int, width: int, order: str) -> int:
    return int.from_bytes(content[offset : offset + width], "little" if order == "<" else "big")
