"""The section of a job on the page of a study: what each kind of job returns for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Picture:
    """A picture of a section; ``source`` is a data URL, ``columns`` the number of pictures in a line."""

    source: str
    caption: str = ""
    columns: Literal[1, 2, 4] = 1


@dataclass(frozen=True)
class Finding:
    """Whether what a publication concludes holds in this job, and the figures that decide it."""

    holds: bool
    reason: str


@dataclass(frozen=True)
class Section:
    """The results of a job in short.

    Parameters
    ----------
    images
        Number of images that the job read; None if it reads none.
    measures
        The results as texts, by names that a study's file can give published figures for.
    finding
        None if the job has too little to decide: a single layer, for example.
    warning
        What makes all figures doubtful.
    """

    images: int | None
    measures: Mapping[str, str]
    pictures: Sequence[Picture] = field(default_factory=tuple)
    finding: Finding | None = None
    warning: str = ""


def percent(share: float, digits: int = 1) -> str:
    """Return a share as a percentage: ``41.3 %``."""
    return f"{100 * share:.{digits}f} %"
