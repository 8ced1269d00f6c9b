"""What prints for people: never a command to the terminal, whatever the names are that it prints."""

from __future__ import annotations

from typing import Any

import rich.console
from rich.text import Text

from shared.text import printable


class Console(rich.console.Console):
    """Strings, in tables too, are shown with their control characters written out."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)
