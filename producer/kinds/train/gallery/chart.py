"""Line charts by epoch, as points of an SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 640, 320  # of the SVG, in its units
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 14, 38  # margins
TICKS = 6  # of an axis, about
MOST_POINTS = 800  # of a line; of longer ones every second, third, ... epoch is drawn
COLOURS = 8  # classes c0 to c7 of the style sheet

Point = tuple[int, float]  # epoch, value


@dataclass(frozen=True)
class Line:
    """A line of a chart: its name, colour (index), and values by epoch. Values that are not finite leave a gap."""

    name: str
    colour: int
    points: Sequence[Point]
    dashed: bool = False


@dataclass(frozen=True)
class DrawnLine:
    """A line in the units of the SVG; ``parts`` are texts of points, between the gaps."""

    name: str
    colour: int
    dashed: bool
    parts: list[str]
    dots: list[tuple[float, float]]  # of parts that are a single point


@dataclass(frozen=True)
class Chart:
    """What a template draws. Ticks are places and their texts."""

    title: str
    sentence: str
    lines: list[DrawnLine]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def draw_chart(title: str, lines: Sequence[Line], *, shares: bool = False) -> Chart | None:
    """Return a chart of values by epoch, or None if no value is finite.

    Parameters
    ----------
    shares
        Whether the values are shares, 0 to 1, which are shown in percent.
    """
    lines = [line for line in lines if any(math.isfinite(value) for _, value in line.points)]
    finite = [value for line in lines for _, value in line.points if math.isfinite(value)]
    if not finite:
        return None
    last = max(epoch for line in lines for epoch, _ in line.points)
    highest = max(finite)
    steps = nice_ticks(0.0 if shares else min(0.0, *finite), highest, TICKS)
    low, high = steps[0], max(steps[-1], highest) or 1.0
    epochs = [round(tick) for tick in nice_ticks(0, last, TICKS + 2) if tick == round(tick)]

    def across(epoch: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * epoch / max(last, 1), 1)

    def down(value: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / (high - low), 1)

    drawn = []
    for line in lines:
        parts = _parts(line.points[:: math.ceil(len(line.points) / MOST_POINTS)])
        places = [[(across(epoch), down(value)) for epoch, value in part] for part in parts]
        texts = [" ".join(f"{x},{y}" for x, y in part) for part in places if len(part) > 1]
        dots = [part[0] for part in places if len(part) == 1]
        drawn.append(DrawnLine(line.name, line.colour % COLOURS, line.dashed, texts, dots))
    sentence = "; ".join(_sentence(line, shares=shares) for line in lines)
    return Chart(
        title,
        f"{title} by epoch: {sentence}.",
        drawn,
        [(across(epoch), str(epoch)) for epoch in epochs if epoch <= last],
        [(down(tick), _text(tick, shares=shares)) for tick in steps if low <= tick <= high],
    )


def _parts(points: Sequence[Point]) -> list[list[Point]]:
    """Cut a line where its values are not finite."""
    parts: list[list[Point]] = [[]]
    for epoch, value in points:
        if math.isfinite(value):
            parts[-1].append((epoch, value))
        elif parts[-1]:
            parts.append([])
    return [part for part in parts if part]


def _sentence(line: Line, *, shares: bool) -> str:
    finite = [value for _, value in line.points if math.isfinite(value)]
    first, last, least, most = (
        _text(value, shares=shares) for value in (finite[0], finite[-1], min(finite), max(finite))
    )
    return f"{line.name} from {first} to {last}, between {least} and {most}"


def _text(value: float, *, shares: bool) -> str:
    return f"{100 * value:.3g} %" if shares else f"{value:.3g}"


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """Return about ``count`` round numbers from at most ``low`` to at least ``high``."""
    if not high > low:
        high = low + 1
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]
