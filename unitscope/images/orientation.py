"""EXIF orientation: how a stored image must be turned to be upright."""

from __future__ import annotations

from PIL import Image

UPRIGHT = 1
TURNS = {  # EXIF orientation -> operation that makes the image upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = (5, 6, 7, 8)  # orientations whose turning exchanges width and height
TAG = 0x0112
INTEGERS = {1: 1, 3: 2, 4: 4}  # TIFF type -> bytes of a value
HEAD = b"Exif\0\0"


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of a decoded image file, 1 (upright) to 8; 1 if it has none or an invalid one.

    Pillow's own parser is not used: it copies the values of all tags, which in a hostile file take gigabytes.
    """
    if image.format == "TIFF":  # Pillow turns TIFF files itself while decoding them
        return UPRIGHT
    exif, text = image.info.get("exif"), image.info.get("Raw profile type exif")  # the latter in older PNG files
    if exif is None and isinstance(text, str):
        exif = _from_hex(text)
    return _tag(exif.removeprefix(HEAD).removeprefix(HEAD)) if isinstance(exif, bytes) else UPRIGHT


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Return an image turned as its EXIF orientation says."""
    return image.transpose(TURNS[orientation]) if orientation in TURNS else image


def _from_hex(text: str) -> bytes | None:
    """Return the bytes of an ImageMagick profile: three lines of heading, then hexadecimal digits."""
    try:
        return bytes.fromhex("".join(text.split("\n")[3:]))
    except ValueError:
        return None


def _tag(exif: bytes) -> int:
    """Return the orientation in the first directory of a TIFF structure."""
    order = {b"II": "little", b"MM": "big"}.get(exif[:2])

    def number(offset: int, width: int) -> int:
        return int.from_bytes(exif[offset : offset + width], "little" if order == "little" else "big")

    start = number(4, 4)
    end = min(start + 2 + 12 * number(start, 2), len(exif) - 11) if order else 0
    for entry in range(start + 2, end, 12):
        if number(entry, 2) == TAG:
            value = number(entry + 8, INTEGERS.get(number(entry + 2, 2), 0))
            return value if value in TURNS else UPRIGHT
    return UPRIGHT
