"""Pictures: patches, projections, mosaics and contact sheets, as uint8 arrays [rows, columns, 3]."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from unitscope.geometry.receptive_fields import Window

GREY = 128  # zero of a projection, and padding of an image, for which the network's input is nearly zero
PAPER = 255  # background of mosaics and sheets
EMPTY = 235  # empty cells of a mosaic
SHEET_BLOCK = 132  # side of a mosaic on a contact sheet, in pixels
CONTRAST = 3.0  # a projection's scale, in root mean squares of its values
INK = (40, 40, 40)
NOTE_INK = (PAPER, PAPER, PAPER)  # on grey

Picture = np.ndarray
Box = tuple[int, int, int, int]  # left, top, right, bottom


def cut(picture: Picture, window: Window | None) -> Picture:
    """Crop a picture to (top, left, bottom, right), grey outside of it; None is the whole picture."""
    if window is None:
        return picture
    top, left, bottom, right = window
    rows, columns = picture.shape[:2]
    result = np.full((bottom - top, right - left, 3), GREY, np.uint8)
    inside = picture[max(top, 0) : min(bottom, rows), max(left, 0) : min(right, columns)]
    row, col = max(-top, 0), max(-left, 0)
    result[row : row + inside.shape[0], col : col + inside.shape[1]] = inside
    return result


def projection_scale(projection: np.ndarray) -> tuple[float, float]:
    """Return the value of a projection float32 [3, H, W] that is drawn as black or white, and its largest
    absolute value.

    The former is three times the root mean square of the values other than zero, if the largest value is not
    smaller. If the largest value were drawn as white, a single bright spot would leave the rest of a projection
    nearly grey.
    """
    values = projection.ravel()
    largest = float(max(values.max(), -values.min()))
    count = np.count_nonzero(values != 0)  # faster than that of floats
    if not count:
        return largest, largest
    relative = values / largest  # squares of the values themselves can overflow or vanish
    mean_square = float(np.square(relative, out=relative).sum()) / count
    return min(largest, CONTRAST * largest * math.sqrt(mean_square)), largest


def draw_projection(projection: np.ndarray, scale: float) -> Picture:
    """Draw a projection float32 [3, H, W]: zero as 128, ``scale`` as 128 + 127, and larger values as ``scale``."""
    steps = projection * np.float32(127.0 / scale if scale else 0.0)
    np.rint(steps, out=steps)
    np.clip(steps, -127, 127, out=steps)
    steps += GREY
    return steps.astype(np.uint8).transpose(1, 2, 0)


def png(picture: Picture) -> bytes:
    """Encode a drawing as a PNG file; see ``images.encoding.photographic_png`` for patches and projections."""
    return _encoded(picture, "PNG", compress_level=4)


def jpeg(picture: Picture) -> bytes:
    """Encode a picture as a JPEG file, for large sheets."""
    return _encoded(picture, "JPEG", quality=90, subsampling=0)


def _encoded(picture: Picture, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind, **options)
    return file.getvalue()


def mosaic(pictures: Sequence[Picture], columns: int, cell: int, gap: int = 2) -> Picture:
    """Arrange pictures row by row in square cells of ``cell`` pixels, to which they are resized."""
    arranged, _ = native_mosaic([resized(picture, cell) for picture in pictures], columns, len(pictures), gap)
    return arranged


def native_mosaic(
    pictures: Sequence[Picture], columns: int, cells: int, gap: int = 2
) -> tuple[Picture, list[Box]]:
    """Arrange pictures of one size row by row, each with its own pixels, in a mosaic with ``cells`` cells.

    Returns
    -------
    tuple
        the mosaic, and the box (left, top, right, bottom) of each picture in it.
    """
    height, width = pictures[0].shape[:2]
    rows = -(-cells // columns)
    result = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), PAPER, np.uint8)
    boxes = []
    for index in range(cells):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        shown = index < len(pictures)
        result[top : top + height, left : left + width] = pictures[index] if shown else EMPTY
        if shown:
            boxes.append((left, top, left + width, top + height))
    return result, boxes


def resized(picture: Picture, size: int) -> Picture:
    """Resize a picture to ``size`` x ``size``: nearest neighbour from a magnification of 3 on, else Lanczos."""
    if picture.shape[:2] == (size, size):
        return picture
    resampling = Image.Resampling.NEAREST if picture.shape[0] * 3 <= size else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(picture).resize((size, size), resampling))


def shrunk_projections(picture: Picture, size: int) -> Picture:
    """Shrink a mosaic of projections: each block of pixels becomes its pixel furthest from grey.

    With averaging, the adjacent dark and light lines of a projection would cancel out.
    """
    factor = picture.shape[0] // size
    if factor < 2:
        return resized(picture, size)
    rows, columns = (side // factor for side in picture.shape[:2])
    picture = picture[: rows * factor, : columns * factor]
    red, green, blue = np.moveaxis(np.abs(picture.astype(np.int16) - GREY), 2, 0)
    distances = (red + green + blue).reshape(rows, factor, columns, factor).transpose(0, 2, 1, 3)
    below, right = np.divmod(distances.reshape(rows, columns, factor * factor).argmax(2), factor)
    corner = factor * np.arange(rows)[:, None], factor * np.arange(columns)
    return resized(picture[corner[0] + below, corner[1] + right], size)


def empty(size: int) -> Picture:
    """Return a picture for the empty cells of a mosaic, when a unit has fewer images."""
    return np.full((size, size, 3), EMPTY, np.uint8)


def note(size: tuple[int, int], text: str) -> Picture:
    """Return a grey picture [rows, columns, 3] with a text in its middle, a word on a line.

    The text is left out if it doesn't fit.
    """
    rows, columns = size
    picture = Image.new("RGB", (columns, rows), (GREY, GREY, GREY))
    draw, lines = ImageDraw.Draw(picture), text.replace(" ", "\n")
    font = ImageFont.load_default(max(10, min(size) // 7))
    left, top, right, bottom = draw.multiline_textbbox((0, 0), lines, font)
    if right - left <= columns and bottom - top <= rows:
        middle = (columns - right - left) / 2, (rows - bottom - top) / 2
        draw.multiline_text(middle, lines, NOTE_INK, font, align="center")
    return np.asarray(picture)


def mosaic_cell(field: int) -> int:
    """Return the side of a mosaic's cell for a receptive field of ``field`` pixels; small fields are magnified."""
    if field >= 96:
        return min(field, 160)
    return field * max(1, 96 // field)


def contact_sheet(
    units: Sequence[tuple[int, Picture | None, Picture]],
    title: str,
    columns: int,
    block: int = SHEET_BLOCK,
    notes: Mapping[int, str] = MappingProxyType({}),
) -> Picture:
    """Draw a layer's units on one sheet, like the paper's Fig. 2.

    Each unit has its index above, the mosaic of its projections on the left, and that of its image patches on the
    right.

    Parameters
    ----------
    units
        (unit, mosaic of projections, mosaic of patches); projections are None for all units or for none.
    title
        heading of the sheet.
    columns
        largest number of units in a row.
    block
        side of a mosaic on the sheet, in pixels.
    notes
        words beside the index of a unit, by unit.
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
    for index, (unit, projections, patches) in enumerate(units):
        left = margin + (index % columns) * (cell_width + 2 * gap)
        top = heading + (index // columns) * (cell_height + gap)
        note_of_unit = f": {notes[unit]}" if unit in notes else ""
        draw.text((left, top), f"unit {unit}{note_of_unit}", INK, font)
        if projections is not None:
            sheet.paste(Image.fromarray(shrunk_projections(projections, block)), (left, top + label))
        sheet.paste(Image.fromarray(resized(patches, block)), (left + beside, top + label))
    return np.asarray(sheet)
