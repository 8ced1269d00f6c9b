"""What ``analyze doctor`` says of a thing that it looked at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """Something that was looked at. ``remedy`` says what to do where it is not well."""

    name: str
    well: bool
    found: str
    remedy: str = ""
    exit_code: int = 0
