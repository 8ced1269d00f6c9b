"""Console for people. File names and messages in its output can't send control sequences to the terminal."""

from __future__ import annotations

from typing import Any

import rich.console
from rich.text import Text

from shared.text import printable


class Console(rich.console.Console):
    """A rich console that prints control characters of strings, also in tables, as escapes."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)
