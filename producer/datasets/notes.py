"""Parts of sentences about what was assumed or skipped: numbers, and the first names.

Names may have any characters; ``reading.read_dataset`` escapes those that can't be printed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

SHOWN = 3
LONGEST_NAME = 80


def first_of(names: Sequence[str], shown: int = SHOWN) -> str:
    """Return the first names, and the number of the others."""
    text = ", ".join(_short(name) for name in names[:shown])
    return f"{text} and {len(names) - shown} more" if len(names) > shown else text


def counted(counts: Iterable[tuple[str, int]], shown: int = 10) -> str:
    """Return names with their numbers, the most frequent first."""
    ordered = sorted(counts, key=lambda item: (-item[1], item[0]))
    return first_of([f"{_short(name)} ({count})" for name, count in ordered], shown)


def number_of(count: int, singular: str, plural: str = "") -> str:
    """Return ``1 image`` or ``5 images``."""
    return f"{count:,} {singular if count == 1 else plural or f'{singular}s'}"


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
