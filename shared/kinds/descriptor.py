"""What generic code asks about a kind of job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.database.base import Base
from shared.kinds.specification import Specification


@dataclass(frozen=True)
class Kind:
    """A kind of job, as both sides know it.

    Parameters
    ----------
    name
        the folder's name, which is also what people type: ``analyze submit NAME``.
    specification
        what can be asked for.
    stages
        the stages in order, each with what its work is counted in ("images"), or None where that is nothing that
        people know.
    tables
        the tables of its results, in an order in which a row comes after those that it refers to.
    describe
        a job in a few words, from its specification.
    other_jobs
        fields of the specification that hold numbers of other jobs; no result may depend on them.
    """

    name: str
    specification: type[Specification]
    stages: Mapping[str, str | None]
    tables: tuple[type[Base], ...]
    describe: Callable[[Any], str]
    other_jobs: tuple[str, ...] = ()
