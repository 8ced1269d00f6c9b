"""EXIF orientation: images are turned as Pillow turns them, and hostile EXIF data turns nothing."""

from __future__ import annotations

import io
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from unitscope.data.images import ImageSource, read_image
from unitscope.images.decoding import decode, decode_as_stored

TAG = 0x0112
PIXELS = np.random.default_rng(0).integers(0, 255, (6, 9, 3), dtype=np.uint8)


def photograph(form: str = "PNG", tag: int = 6, exif: bytes | None = None) -> bytes:
    """Encode an image of 9 x 6 pixels with an EXIF orientation, or with these bytes of EXIF data."""
    written = Image.Exif()
    written[TAG] = tag
    content = io.BytesIO()
    more = {"save_all": True, "append_images": [Image.fromarray(PIXELS)]} if form == "MPO" else {}
    Image.fromarray(PIXELS).save(content, form, exif=written if exif is None else exif, **more)
    return content.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "MPO"])
@pytest.mark.parametrize("tag", range(10))
def test_images_are_turned_as_by_pillow(form: str, tag: int) -> None:
    content = photograph(form, tag)
    with Image.open(io.BytesIO(content)) as image:
        expected = ImageOps.exif_transpose(image).convert("RGB")
    turned = decode(content, upright=True)
    assert turned.size == expected.size == ((6, 9) if 5 <= tag <= 8 else (9, 6))
    np.testing.assert_array_equal(turned, expected)


def test_without_turning_the_pixels_stay_as_stored() -> None:
    np.testing.assert_array_equal(decode(photograph()), PIXELS)
    assert decode_as_stored(photograph())[1] == 6


def test_box_refers_to_the_turned_image(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(photograph())
    source = ImageSource(1, tmp_path / "x.png", box=(0, 5, 4, 9), upright=True)
    np.testing.assert_array_equal(read_image(source, 4), np.rot90(PIXELS, -1)[5:9, 0:4])


ORIENTATION_AS_LONG = b"II*\0\x08\0\0\0\x01\0\x12\x01\x04\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
ODD_EXIF = {
    "nothing": (b"", 1),
    "no TIFF": (b"Exif\0\0junk", 1),
    "cut": (b"MM\0*\0\0\0\x08\0\x01\x01\x12", 1),
    "offset beyond the end": (b"MM\0*\xff\xff\xff\xff", 1),
    "many entries": (b"MM\0*\0\0\0\x08\xff\xff" + b"\1" * 60_000, 1),
    "32 bits": (ORIENTATION_AS_LONG, 6),
    "heading twice": (b"Exif\0\0" + ORIENTATION_AS_LONG, 6),
    "float": (ORIENTATION_AS_LONG.replace(b"\x12\x01\x04", b"\x12\x01\x0b"), 1),
}


@pytest.mark.parametrize("name", ODD_EXIF)
def test_odd_exif_data(name: str) -> None:
    exif, orientation = ODD_EXIF[name]
    assert decode_as_stored(photograph("JPEG", exif=b"Exif\0\0" + exif))[1] == orientation


def test_tags_that_declare_gigabytes_are_not_read() -> None:
    """65,535 tags that all refer to the same megabytes; Pillow's parser would copy them once for each tag."""
    entries = b"\x90\x00\x00\x07\x00\x20\x00\x00\x00\x00\x00\x08" * 65_535
    content = photograph("PNG", exif=b"MM\0*\0\0\0\x08\xff\xff" + entries + bytes(2**21))
    started = time.process_time()
    assert decode_as_stored(content)[1] == 1
    assert time.process_time() - started < 5
