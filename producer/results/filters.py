"""Filters that select rows of a result table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Filters:
    """Conditions that a selected row fulfils, all of them. An empty condition selects every row."""

    layer: str | None = None  # short name (conv5, 5) or module path
    units: Sequence[int] = ()
    class_name: str | None = None  # of the image
    images: Sequence[int] = ()  # ids
    ranks: Sequence[int] = ()

    def given(self) -> list[str]:
        """Return the names of the conditions that are not empty."""
        return [field.name for field in fields(self) if getattr(self, field.name) not in (None, (), [])]


EVERYTHING = Filters()
