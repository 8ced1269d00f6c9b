"""Which rows of a result are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Filters:
    """Conditions that all hold of a row that is wanted; empty ones leave everything in."""

    layer: str | None = None  # as people say it, or its module path
    units: Sequence[int] = ()
    class_name: str | None = None  # of the image
    images: Sequence[int] = ()  # ids
    ranks: Sequence[int] = ()

    def given(self) -> list[str]:
        """Names of the conditions that are not empty."""
        return [field.name for field in fields(self) if getattr(self, field.name) not in (None, (), [])]


EVERYTHING = Filters()
