"""Contact sheets of layers with thousands of units."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from unitscope.drawing import pictures
from worker.kinds.top9.finish import SHEET_ROWS, SHEET_UNITS, sheet_columns


@pytest.mark.parametrize(
    ("units", "columns"), [(1, 8), (64, 8), (3200, 8), (3201, 9), (4096, 11), (SHEET_UNITS, 25)]
)
def test_large_layers_have_more_columns(units: int, columns: int) -> None:
    assert sheet_columns(units) == columns


def test_the_highest_sheet_is_a_jpeg_file() -> None:
    tile = np.zeros((pictures.SHEET_BLOCK, pictures.SHEET_BLOCK, 3), np.uint8)
    sheet = pictures.contact_sheet([(unit, tile, tile) for unit in range(SHEET_ROWS)], "a title", columns=1)
    with Image.open(io.BytesIO(pictures.jpeg(sheet))) as read:
        assert read.size == (sheet.shape[1], sheet.shape[0])
