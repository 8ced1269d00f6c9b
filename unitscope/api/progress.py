"""Progress bars."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm


def bar(name: str, total: int | None, unit: str, progress: bool | None) -> Any:
    """Make a progress bar on stderr (a context manager); ``progress`` None shows it on terminals only."""
    return tqdm(desc=name, total=total, unit=f" {unit}", disable=None if progress is None else not progress)
