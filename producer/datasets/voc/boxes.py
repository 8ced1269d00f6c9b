"""Boxes of pixels from the corners that annotations state.

VOC counts pixels from 1 and includes the last row and column. Other tools state positions from 0: the left edge
of the image is 0, and its right edge the width. Both have the same ``xmax`` and ``ymax``; only the left and upper
edges differ, by one pixel.
"""

from __future__ import annotations

from collections.abc import Iterable

from producer.datasets.voc.annotations import Corners

Box = tuple[int, int, int, int]  # left, top, right, bottom: from 0, right and bottom exclusive
FROM_0, FROM_1 = "from-0", "from-1"
ORIGINS = (FROM_0, FROM_1)
OVERHANG = 1  # pixels that a box may lie over an edge: they are clipped


class UnusableObject(Exception):
    """An object can't be used: ``reason`` is a short code, ``detail`` describes the problem."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def sides_at_0_and_1(corners: Iterable[Corners | None]) -> tuple[int, int]:
    """Return how many left and upper sides are at 0, which VOC doesn't have, and how many at 1."""
    sides = [
        round(side)
        for xmin, ymin, xmax, ymax in filter(None, corners)
        if xmin < xmax and ymin < ymax and xmax > 1  # others are placeholders, or fractions of the size
        for side in (xmin, ymin)
    ]
    return sides.count(0), sides.count(1)


def box_of(corners: Corners, origin: str) -> Box:
    """Return the box; fractions are rounded."""
    xmin, ymin, xmax, ymax = (round(corner) for corner in corners)
    return (xmin, ymin, xmax, ymax) if origin == FROM_0 else (xmin - 1, ymin - 1, xmax, ymax)


def is_relative(corners: Corners) -> bool:
    """Return whether corners are fractions of the image's size, as in YOLO's files."""
    return all(0 <= corner <= 1 for corner in corners) and any(corner % 1 for corner in corners)


def fitted(box: Box, width: int, height: int) -> Box:
    """Return the box without what lies over an edge of the image by at most ``OVERHANG``.

    Raises
    ------
    UnusableObject
        The box has no area, or lies further outside.
    """
    left, top, right, bottom = box
    if right <= left or bottom <= top:
        raise UnusableObject("box without area", f"{box}")
    if min(left, top) < -OVERHANG or right > width + OVERHANG or bottom > height + OVERHANG:
        raise UnusableObject("box outside the image", f"{box} in {width} x {height}")
    clipped = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    if clipped[2] <= clipped[0] or clipped[3] <= clipped[1]:
        raise UnusableObject("box outside the image", f"{box} in {width} x {height}")
    return clipped
