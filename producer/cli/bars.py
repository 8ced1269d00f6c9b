"""Progress bars on stderr."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from producer.cli.context import App


class Bars:
    """Context manager that shows a progress bar on stderr for each step."""

    def __init__(self, app: App) -> None:
        from rich.progress import Progress

        self.bars = Progress(console=app.err, transient=True, disable=not app.err.is_terminal)

    def __enter__(self) -> tuple[Any, Callable[[str], Callable[[int, int], None]]]:
        self.bars.start()
        return self.bars, self._show

    def _show(self, step: str) -> Callable[[int, int], None]:
        task = self.bars.add_task(step, total=None, visible=False)
        return lambda done, total: self.bars.update(task, completed=done, total=total, visible=True)

    def __exit__(self, *exception: object) -> None:
        self.bars.stop()
