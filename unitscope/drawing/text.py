"""Text on pictures that are drawn with Pillow: a font with the characters of most names, and a heading."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from unitscope.drawing.pictures import INK, PAPER, Picture

HEADING, TEXT, NUMBER = 17, 12, 10  # sizes of fonts, in pixels
SOFT = (105, 105, 105)


@lru_cache
def font(size: float) -> ImageFont.FreeTypeFont:
    """Return the font of figures in a size in pixels."""
    return ImageFont.truetype(_font_file(), size)


@lru_cache
def _font_file() -> str:
    """Return the file of the font that matplotlib uses in figures, with which texts are measured."""
    return font_manager.findfont("DejaVu Sans")


def fitted(text: str, size: float, width: float) -> str:
    """Truncate a text to one line of a width; ``size`` and ``width`` have the same unit.

    Characters that the font doesn't have are replaced by U+FFFD; a truncated text ends in an ellipsis.
    """
    drawable = font_manager.get_font(_font_file()).get_char_index
    text = "".join(c if c.isprintable() and drawable(ord(c)) else "\ufffd" for c in " ".join(text[:1000].split()))
    measure = font(size).getlength
    if measure(text) <= width:
        return text
    length = bisect_right(range(len(text)), width, key=lambda length: measure(text[:length] + "…")) - 1
    return text[: max(length, 0)] + "…"


def blank(width: int, height: int) -> Picture:
    """Return an empty picture [height, width, 3]."""
    return np.full((height, width, 3), PAPER, np.uint8)


def heading(title: str, lines: Sequence[str], width: int) -> Picture:
    """Draw a title, and lines of smaller text below it, in a picture of a width; long lines are broken."""
    broken = [part for line in lines for part in _broken(line, width)]
    height = HEADING + 10 + (TEXT + 5) * len(broken) + 4
    picture = Image.fromarray(blank(width, height))
    draw = ImageDraw.Draw(picture)
    draw.text((0, 0), fitted(title, HEADING, width), INK, font(HEADING))
    for number, line in enumerate(broken):
        draw.text((0, HEADING + 10 + (TEXT + 5) * number), fitted(line, TEXT, width), SOFT, font(TEXT))
    return np.asarray(picture)


def _broken(line: str, width: int) -> list[str]:
    """Break a line at blanks so that each part fits; a word that is wider than the picture is its own part."""
    parts: list[str] = []
    for word in line.split():
        if parts and font(TEXT).getlength(f"{parts[-1]} {word}") <= width:
            parts[-1] = f"{parts[-1]} {word}"
        else:
            parts.append(word)
    return parts


def stacked(pictures: Sequence[Picture], gap: int, margin: int) -> Picture:
    """Arrange pictures in a column, aligned on the left, with a margin around them."""
    width = max(picture.shape[1] for picture in pictures) + 2 * margin
    height = sum(picture.shape[0] for picture in pictures) + gap * (len(pictures) - 1) + 2 * margin
    result = blank(width, height)
    top = margin
    for picture in pictures:
        rows, columns = picture.shape[:2]
        result[top : top + rows, margin : margin + columns] = picture
        top += rows + gap
    return result
