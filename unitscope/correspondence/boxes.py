"""Boxes of parts in pixels of the network's input. Torch is not imported."""

from __future__ import annotations

import math

LEAST_INSIDE = 0.5  # of a part's area: parts of which less is inside of the image are not used


def input_box(
    box: tuple[float, ...], region: tuple[float, float, float, float], size: int
) -> tuple[int, int, int, int]:
    """Return a part's box in pixels of the network's input, at least one pixel wide and high.

    Parameters
    ----------
    box
        left, top, right, bottom of the part in pixels of the file, exclusive.
    region
        left, top, right, bottom of the image within its file: it is resized to ``size`` x ``size``.
    size
        height and width of the input, in pixels.

    Raises
    ------
    ValueError
        the box has no area, or less than half of it is inside of the region.
    """
    if len(box) != 4 or not all(math.isfinite(side) for side in box):
        raise ValueError(f"a box has four finite numbers, not {box!r:.100}")
    left, top, right, bottom = box
    text = f"box {left:g}, {top:g}, {right:g}, {bottom:g}"
    if right <= left or bottom <= top:
        raise ValueError(f"{text} has no area")
    inner = max(left, region[0]), max(top, region[1]), min(right, region[2]), min(bottom, region[3])
    inside = max(inner[2] - inner[0], 0) * max(inner[3] - inner[1], 0)
    if inside < LEAST_INSIDE * (right - left) * (bottom - top):
        outer = ", ".join(f"{side:g}" for side in region)
        raise ValueError(f"{text} is not inside of {outer}")
    across, down = size / (region[2] - region[0]), size / (region[3] - region[1])
    first, last = _pixels((inner[0] - region[0]) * across, (inner[2] - region[0]) * across, size)
    upper, lower = _pixels((inner[1] - region[1]) * down, (inner[3] - region[1]) * down, size)
    return first, upper, last, lower


def _pixels(start: float, stop: float, size: int) -> tuple[int, int]:
    """Return rounded ends, at least a pixel apart, within 0 and ``size``."""
    first = min(round(start), size - 1)
    return first, min(max(round(stop), first + 1), size)
