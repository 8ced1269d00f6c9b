"""Fits a table into the width of a terminal, at the expense of the columns that matter least.

Ids, names and numbers are never shortened. Other text is wrapped in its column. If that isn't enough, whole
columns are left out, and named below the table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from rich.cells import cell_len
from rich.table import Column, Table
from rich.text import Text

NARROW = 14  # columns of the terminal; a column is not made narrower
# Columns that identify a row, besides those whose name ends in "_id" and the first one.
IDENTIFYING = {
    "job", "id", "name", "kind", "state", "data set", "dataset", "split", "class", "class_name", "layer", "unit",
    "rank", "image_path", "stage", "run", "epoch", "phase", "setting", "field", "recipe", "network", "file",
}  # fmt: skip
DETAILS = {"fingerprint", "sha256", "key", "layer_path", "job_id"}  # the first to be left out


@dataclass(frozen=True)
class Fitted:
    """A table whose columns have a width, its own width, and the names of the columns that were left out."""

    table: Table
    width: int
    left_out: list[str] = field(default_factory=list)


@dataclass
class _Sized:
    """A column with its natural width and its width in the terminal."""

    column: Column
    name: str
    natural: int
    is_first: bool
    width: int = 0

    @property
    def importance(self) -> int:
        """0 for details, 1 for other values, 2 for what identifies the row."""
        if self.is_first:
            return 2
        if self.name in DETAILS:
            return 0
        return 2 if self.name in IDENTIFYING or self.name.endswith("_id") else 1

    @property
    def smallest(self) -> int:
        """The width below which the column is not shortened."""
        return self.natural if self.importance == 2 else min(self.natural, NARROW)


def fit_columns(table: Table, width: int, render: Callable[[str], Text]) -> Fitted:
    """Fit a table without borders into ``width``. ``render`` returns the text that is printed for a string."""

    def natural(column: Column) -> int:
        cells = [column.header, *column.cells]
        texts = (cell.plain if isinstance(cell, Text) else render(str(cell)).plain for cell in cells)
        return max((cell_len(line) for text in texts for line in text.splitlines()), default=0)

    sized = [_Sized(c, str(c.header), natural(c), n == 0) for n, c in enumerate(table.columns)]
    padding = table.padding[1] + table.padding[3]
    kept, left_out = _choose(sized, width, padding)
    _share(kept, width - padding * len(kept))
    result = Table(box=table.box, show_header=table.show_header, padding=table.padding)
    for part in kept:
        result.add_column(
            part.column.header,
            justify=part.column.justify,
            style=part.column.style,
            width=part.width,
            overflow="fold",
            no_wrap=part.width >= part.natural,
        )
    rows = zip(*(list(part.column.cells) for part in kept), strict=True)
    for style, cells in zip((row.style for row in table.rows), rows, strict=True):
        result.add_row(*cells, style=style)
    return Fitted(result, sum(part.width + padding for part in kept), [part.name for part in left_out])


def _choose(sized: list[_Sized], width: int, padding: int) -> tuple[list[_Sized], list[_Sized]]:
    """Return the columns that fit at their smallest widths, the most important first, and the other columns."""
    chosen: list[_Sized] = []
    used = 0
    for part in sorted(sized, key=lambda part: -part.importance):
        if part.importance == 2 or used + part.smallest + padding <= width:
            chosen.append(part)
            used += part.smallest + padding
    return [part for part in sized if part in chosen], [part for part in sized if part not in chosen]


def _share(kept: list[_Sized], width: int) -> None:
    """Set the widths: natural ones, from which details are shortened first, then the widest column."""
    for part in kept:
        part.width = part.natural
    for details in (True, False):
        flexible = [part for part in kept if part.importance < 2 and (part.importance == 0) == details]
        while (excess := sum(part.width for part in kept) - width) > 0:
            widest = max(flexible, key=lambda part: part.width - part.smallest, default=None)
            if widest is None or widest.width == widest.smallest:
                break
            second = max((part.width for part in flexible if part is not widest), default=0)
            step = max(1, min(excess, widest.width - max(second, widest.smallest)))
            widest.width = max(widest.smallest, widest.width - step)
