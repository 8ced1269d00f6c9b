"""A bar that shows how far a computation is."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm


def bar(name: str, total: int | None, unit: str, progress: bool | None) -> Any:
    """A bar on stderr, as a context; ``progress`` None shows it only where stderr is a terminal."""
    return tqdm(desc=name, total=total, unit=f" {unit}", disable=None if progress is None else not progress)
