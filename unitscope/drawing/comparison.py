"""Figures that compare numbers by row: bars or lines with error bars, and published numbers beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from matplotlib.axes import Axes

from unitscope.drawing.figures import NotebookFigure, as_png

LONG = 18  # characters; longer names of rows are broken into lines


@dataclass(frozen=True)
class Series:
    """Numbers of one colour: by row, mean and standard deviation (None: unknown).

    ``is_published`` numbers have no deviation and are drawn as white marks.
    """

    name: str
    numbers: Mapping[str, tuple[float, float | None]]
    is_published: bool = False


@dataclass(frozen=True)
class Panel:
    """Series that share an axis."""

    title: str
    series: Sequence[Series] = field(default_factory=list)


def draw_comparison_figure(
    title: str, axis: str, rows: Sequence[str], panels: Sequence[Panel], form: Literal["bars", "lines"] = "bars"
) -> bytes:
    """Draw ``comparison_figure`` as a PNG file."""
    return as_png(comparison_figure(title, axis, rows, panels, form))


def comparison_figure(
    title: str, axis: str, rows: Sequence[str], panels: Sequence[Panel], form: Literal["bars", "lines"] = "bars"
) -> NotebookFigure:
    """Draw a panel below the other, with the rows from left to right, ``axis`` being what they are.

    If no number of a panel is negative, the error bars of its bars end at 0.
    """
    width = min(max(6.5, 1.5 + 1.1 * len(rows)), 24)
    figure = NotebookFigure(figsize=(width, 0.7 + 3.4 * max(len(panels), 1)), layout="constrained")
    figure.suptitle(title)
    for axes, panel in zip(figure.subplots(max(len(panels), 1), squeeze=False)[:, 0], panels, strict=False):
        (_draw_bars if form == "bars" else _draw_lines)(axes, rows, panel)
        axes.set_ylabel(panel.title)
        axes.grid(axis="y", alpha=0.3)
        axes.set_axisbelow(True)
        if len(panel.series) > 1:
            axes.legend(fontsize="small")
    axes.set_xlabel(axis)
    return figure


def _draw_bars(axes: Axes, rows: Sequence[str], panel: Panel) -> None:
    bars = [series for series in panel.series if not series.is_published]
    least = 0.0 if all(mean >= 0 for series in panel.series for mean, _ in series.numbers.values()) else -math.inf
    width = 0.8 / max(len(bars), 1)
    for number, series in enumerate(panel.series):
        colour = f"C{number % 10}"
        shown = [(place, row) for place, row in enumerate(rows) if row in series.numbers]
        means = [series.numbers[row][0] for _, row in shown]
        if series.is_published:
            places = [float(place) for place, _ in shown]
            axes.plot(places, means, "D", color="black", mfc="white", label=series.name, zorder=3)
            continue
        places = [place + (bars.index(series) - (len(bars) - 1) / 2) * width for place, _ in shown]
        deviations = [series.numbers[row][1] or 0.0 for _, row in shown]
        axes.bar(places, means, 0.9 * width, color=colour, label=series.name)
        known = [n for n, (_, row) in enumerate(shown) if series.numbers[row][1] is not None]
        if known:
            x, y = [places[n] for n in known], [means[n] for n in known]
            upper = [deviations[n] for n in known]
            lower = [min(length, mean - least) for length, mean in zip(upper, y, strict=True)]
            axes.errorbar(x, y, [lower, upper], fmt="none", ecolor="black", capsize=3)
    axes.set_xticks(range(len(rows)), [_broken(row) for row in rows], fontsize="small")
    axes.set_xlim(-0.6, len(rows) - 0.4)


def _draw_lines(axes: Axes, rows: Sequence[str], panel: Panel) -> None:
    numeric = all(_is_number(row) for row in rows)
    at = {row: float(row) if numeric else float(place) for place, row in enumerate(rows)}
    for number, series in enumerate(panel.series):
        shown = sorted((row for row in rows if row in series.numbers), key=at.__getitem__)
        axes.errorbar(
            [at[row] for row in shown],
            [series.numbers[row][0] for row in shown],
            None if series.is_published else [series.numbers[row][1] or 0.0 for row in shown],
            color="black" if series.is_published else f"C{number % 10}",
            marker="D" if series.is_published else "o",
            mfc="white" if series.is_published else None,
            linestyle=":" if series.is_published else "-",
            capsize=3,
            label=series.name,
        )
    axes.set_xticks(
        [at[row] for row in rows], rows if numeric else [_broken(row) for row in rows], fontsize="small"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _broken(text: str) -> str:
    """Break a long name into lines at spaces."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) >= LONG:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
