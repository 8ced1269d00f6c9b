"""Console for people. File names and messages in its output can't send control sequences to the terminal."""

from __future__ import annotations

from typing import Any

import rich.console
from rich.table import Table
from rich.text import Text

from producer.cli.columns import fit_columns
from shared.text import printable

UNLIMITED = 10_000_000  # columns; a file has no width


class Console(rich.console.Console):
    """A rich console that prints control characters of strings, also in tables, as escapes.

    Only the width of a terminal shortens tables: see ``producer.cli.columns``. Files and pipes get whole lines.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if not self.is_terminal:
            self.width = UNLIMITED

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
