"""Console for people. File names and messages in its output can't send control sequences to the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, Any

import rich.console
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from producer.cli.columns import fit_columns
from producer.cli.streams import unescaped
from shared.text import printable

UNLIMITED = 10_000_000  # columns; a file has no width


class Console(rich.console.Console):
    """A rich console that prints control characters as escapes, and has colours and moves the cursor itself.

    Strings are escaped before they are measured; whatever else contains text, when it is drawn.
    Only the width of a terminal shortens tables: see ``producer.cli.columns``. Files and pipes get whole lines.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if not self.is_terminal:
            self.width = UNLIMITED

    @property
    def file(self) -> IO[str]:
        return unescaped(super().file)

    @file.setter
    def file(self, new: IO[str]) -> None:
        self._file = new

    def render(self, *arguments: Any, **options: Any) -> Iterable[Segment]:
        for segment in super().render(*arguments, **options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)

    def print(self, *objects: Any, **options: Any) -> None:
        if self.is_terminal and len(objects) == 1 and isinstance(objects[0], Table):
            self._print_fitted(objects[0], options)
        else:
            super().print(*objects, **options)

    def _print_fitted(self, table: Table, options: dict[str, Any]) -> None:
        fitted = fit_columns(table, self.width, self.render_str)
        given = self._width, self._height
        # The terminal itself wraps the lines if names are too long.
        self.size = rich.console.ConsoleDimensions(max(self.width, fitted.width), self.height)
        try:
            super().print(fitted.table, **options)
        finally:
            self._width, self._height = given
        if fitted.left_out:
            super().print(f"This terminal is too narrow for: {', '.join(fitted.left_out)}.", style="dim")
