"""The figure of a study: a panel for each value, with published numbers where they are beside it."""

from __future__ import annotations

from producer.kept import Kept
from producer.studies.table import SEPARATOR, Column, StudyState, StudyTable
from unitscope.drawing.comparison import Panel, Series, draw_comparison_figure

KEPT_FIGURES = 8 * 2**20  # bytes of PNG files in memory, of some 50 kB each

_figures: Kept[str, bytes] = Kept(KEPT_FIGURES, len)


def draw_study(state: StudyState, table: StudyTable) -> bytes:
    """Draw the table of a study as a PNG file, unless the same one was drawn a short time ago."""
    names = list(dict.fromkeys(column.value for column in table.columns if column.value))
    values = state.study.table.values if state.study.table else {}
    panels = []
    for name in names:
        ours = [column for column in table.columns if column.value == name]
        title = values[name].title or name.replace("_", " ")
        series = [_series(column, column.group or "ours") for column in ours]
        series += [_published(column) for column in table.columns if column.beside == name]
        panels.append(Panel(title, [part for part in series if part.numbers]))
    rows = [SEPARATOR.join(row) for row in table.rows]
    form = state.study.table.figure if state.study.table else "bars"
    shown = (state.title, SEPARATOR.join(table.labels), rows, panels, form)
    return _figures.get(repr(shown), lambda: draw_comparison_figure(*shown))


def _series(column: Column, name: str) -> Series:
    return Series(name, {SEPARATOR.join(row): (cell.mean, cell.deviation) for row, cell in column.cells.items()})


def _published(column: Column) -> Series:
    numbers = {
        SEPARATOR.join(row): (float(value), None)
        for row, value in column.published.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
    return Series(column.title, numbers, is_published=True)
