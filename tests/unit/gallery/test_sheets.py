"""Sheets of an exported site: each picture is where its place says, and is read once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from producer.gallery.site.sheets import SIDE, Sheets


def grey(value: int, width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), (value, value, value))


def test_pictures_are_where_their_places_say(tmp_path: Path) -> None:
    sheets = Sheets(tmp_path, "units", 480)
    sizes = [(480, 480)] * 18 + [(30, 20)] * 5 + [(960, 480)] * 2
    places = [sheets.place(n, lambda n=n, size=size: grey(10 * n, *size)) for n, size in enumerate(sizes)]
    sheets.close()
    assert len({place.file for place in places}) == 3  # 16 of 480; two more, and the large ones; small ones
    assert places[-1].scale == 0.5
    assert (places[-1].width, places[-1].height) == (480, 240)
    for number, place in enumerate(places):
        with Image.open(tmp_path / place.file) as sheet:
            assert sheet.size == (place.side, place.side)
            assert place.side <= SIDE
            part = np.asarray(sheet)[
                place.top + 1 : place.top + place.height - 1, place.left + 1 : place.left + place.width - 1
            ]
        assert abs(part.astype(int) - 10 * number).max() < 12, number  # WebP is not exact


def test_a_picture_is_read_once(tmp_path: Path) -> None:
    sheets, read = Sheets(tmp_path, "units", 480), []

    def picture() -> Image.Image:
        read.append(1)
        return grey(0, 10, 10)

    assert sheets.place("a", picture) == sheets.place("a", picture)
    assert len(read) == 1


def test_pictures_of_many_sizes_share_sheets(tmp_path: Path) -> None:
    sheets = Sheets(tmp_path, "images", 240, step=48)
    for size in range(10, 240, 3):
        place = sheets.place(size, lambda size=size: grey(100, size, size))
        assert (place.width, place.height) == (size, size)
        assert place.side <= SIDE
    sheets.close()
    assert sheets.count == 5


def test_small_pictures_are_exact(tmp_path: Path) -> None:
    sheets = Sheets(tmp_path, "units", 480, exact=100)
    values = np.random.default_rng(0).integers(0, 256, (21, 23, 3), dtype=np.uint8)
    place = sheets.place("a", lambda: Image.fromarray(values))
    sheets.close()
    with Image.open(tmp_path / place.file) as sheet:
        assert np.array_equal(np.asarray(sheet)[:21, :23], values)
