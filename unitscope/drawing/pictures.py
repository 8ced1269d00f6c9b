"""Pictures: patches, projections, mosaics and contact sheets, as uint8 arrays [rows, columns, 3]."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from unitscope.geometry.receptive_fields import Window

GREY = 128  # a projection's zero; an image's padding, which the network sees as nearly zero
PAPER = 255  # between the pictures of a mosaic and of a sheet
EMPTY = 235  # where a mosaic has no picture
INK = (40, 40, 40)

Picture = np.ndarray


def cut(picture: Picture, window: Window | None) -> Picture:
    """The window (top, left, bottom, right) of a picture, grey where it leaves it; all of it for None."""
    if window is None:
        return picture
    top, left, bottom, right = window
    rows, columns = picture.shape[:2]
    result = np.full((bottom - top, right - left, 3), GREY, np.uint8)
    inside = picture[max(top, 0) : min(bottom, rows), max(left, 0) : min(right, columns)]
    row, col = max(-top, 0), max(-left, 0)
    result[row : row + inside.shape[0], col : col + inside.shape[1]] = inside
    return result


def draw_projection(projection: np.ndarray) -> tuple[Picture, float]:
    """A projection float32 [3, H, W] as a picture, and its scale.

    Zero is mid-grey, the largest |value|, which is the scale, is 127 steps from it.
    """
    scale = float(np.abs(projection).max())
    steps = projection.transpose(1, 2, 0) * (127.0 / scale if scale else 0.0)
    return np.clip(np.rint(steps) + GREY, 0, 255).astype(np.uint8), scale


def png(picture: Picture) -> bytes:
    """The picture as a PNG file."""
    return _encoded(picture, "PNG", compress_level=4)


def jpeg(picture: Picture) -> bytes:
    """The picture as a JPEG file, for large sheets."""
    return _encoded(picture, "JPEG", quality=90, subsampling=0)


def _encoded(picture: Picture, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind, **options)
    return file.getvalue()


def mosaic(pictures: Sequence[Picture], columns: int, cell: int, gap: int = 2) -> Picture:
    """Pictures row by row in square cells of ``cell`` pixels, each scaled to fill its cell."""
    rows = -(-len(pictures) // columns)
    result = np.full((rows * (cell + gap) - gap, columns * (cell + gap) - gap, 3), PAPER, np.uint8)
    for place, picture in enumerate(pictures):
        top, left = (place // columns) * (cell + gap), (place % columns) * (cell + gap)
        result[top : top + cell, left : left + cell] = resized(picture, cell)
    return result


def resized(picture: Picture, size: int) -> Picture:
    """A square picture of ``size`` pixels: whole pixels where it grows much, smooth where it shrinks."""
    if picture.shape[:2] == (size, size):
        return picture
    how = Image.Resampling.NEAREST if picture.shape[0] * 3 <= size else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(picture).resize((size, size), how))


def shrunk_projections(picture: Picture, size: int) -> Picture:
    """A mosaic of projections made small: of each block of pixels the one furthest from grey. Averaging would let
    the fine lines of a projection, dark beside light, cancel each other."""
    factor = picture.shape[0] // size
    if factor < 2:
        return resized(picture, size)
    rows, columns = (side // factor for side in picture.shape[:2])
    blocks = picture[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor, 3)
    blocks = blocks.transpose(0, 2, 1, 3, 4).reshape(rows, columns, factor * factor, 3)
    furthest = np.abs(blocks.astype(int) - GREY).sum(3).argmax(2)
    return resized(np.take_along_axis(blocks, furthest[:, :, None, None], 2)[:, :, 0], size)


def empty(size: int) -> Picture:
    """What stands where a unit has fewer images than the mosaic has places."""
    return np.full((size, size, 3), EMPTY, np.uint8)


def mosaic_cell(field: int) -> int:
    """Side of a mosaic's cell for a receptive field of so many pixels: small fields are magnified."""
    if field >= 96:
        return min(field, 160)
    return field * max(1, 96 // field)


def contact_sheet(
    units: Sequence[tuple[int, Picture | None, Picture]], title: str, columns: int, block: int = 132
) -> Picture:
    """A layer's units like the paper's Fig. 2: for each the mosaic of its projections and, to the right of
    it, that of the image patches, with the unit's number above.

    Parameters
    ----------
    units
        (unit, projections, patches): the mosaics; projections are None for all units or for none.
    block
        side of a mosaic on the sheet, in pixels.
    """
    margin, label, heading, gap = 24, 18, 48, 6
    without = bool(units) and all(projections is None for _, projections, _ in units)
    beside = 0 if without else block + gap
    cell_width, cell_height = beside + block, block + label
    columns = min(columns, max(len(units), 1))
    rows = max(1, -(-len(units) // columns))
    width = 2 * margin + columns * (cell_width + 2 * gap) - 2 * gap
    height = heading + margin + rows * (cell_height + gap)
    title_font, font = ImageFont.load_default(20), ImageFont.load_default(13)
    title_width = int(title_font.getlength(title))
    sheet = Image.new("RGB", (max(width, title_width + 2 * margin), height), (PAPER, PAPER, PAPER))
    draw = ImageDraw.Draw(sheet)
    draw.text((margin, 14), title, INK, title_font)
    for place, (unit, projections, patches) in enumerate(units):
        left = margin + (place % columns) * (cell_width + 2 * gap)
        top = heading + (place // columns) * (cell_height + gap)
        draw.text((left, top), f"unit {unit}", INK, font)
        if projections is not None:
            sheet.paste(Image.fromarray(shrunk_projections(projections, block)), (left, top + label))
        sheet.paste(Image.fromarray(resized(patches, block)), (left + beside, top + label))
    return np.asarray(sheet)
