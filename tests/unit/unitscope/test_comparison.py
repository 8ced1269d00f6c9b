"""Figures that compare numbers by row."""

from __future__ import annotations

import pytest

from unitscope.drawing.comparison import Panel, Series, comparison_figure


@pytest.mark.parametrize(
    ("means", "ends"),
    [
        ((5.0, 40.0), [(0, 14), (37, 43)]),
        ((5.0, -2.0), [(-4, 14), (-5, 1)]),  # a negative number is possible
    ],
)
def test_error_bars_end_at_zero_if_no_number_is_negative(
    means: tuple[float, float], ends: list[tuple[int, int]]
) -> None:
    ours = Series("ours", {"a": (means[0], 9.0), "b": (means[1], 3.0)})
    published = Series("paper", {"a": (6.0, None)}, is_published=True)
    figure = comparison_figure("title", "network", ["a", "b"], [Panel("error", [ours, published])])
    (lines,) = figure.axes[0].collections
    assert [(part[0][1], part[1][1]) for part in lines.get_segments()] == ends
