"""The kinds of job that there are: every folder beside this module, by its name."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from pydantic import ValidationError

from shared.errors import SpecificationNotReadable
from shared.kinds import kind_names
from shared.kinds.descriptor import Kind
from shared.kinds.specification import Specification


@cache
def kinds() -> dict[str, Kind]:
    """All kinds by name; their tables are registered with ``Base.metadata`` after this."""
    return {name: importlib.import_module(f"shared.kinds.{name}").KIND for name in kind_names()}


def parse(kind: str, specification: dict[str, Any]) -> Specification:
    """Return the specification that a job row holds.

    Raises
    ------
    SpecificationNotReadable
        another version of the program made the job.
    """
    if kind not in kinds():
        raise SpecificationNotReadable(kind=kind, reason="no such kind")
    try:
        return kinds()[kind].specification.model_validate(specification)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "all of it"
        raise SpecificationNotReadable(kind=kind, reason=f"{where}: {first['msg']}") from error


def describe(kind: str, specification: dict[str, Any]) -> str:
    """Describe a job in a few words, whatever version of the program made it."""
    try:
        asked = parse(kind, specification)
    except SpecificationNotReadable:
        return f"{kind}, of another version"
    return kinds()[kind].describe(asked)


def counted_in(kind: str, stage: str) -> str | None:
    """Return what a stage's work is counted in, None if that is not known or nothing that people know."""
    known = kinds().get(kind)
    return known.stages.get(stage) if known else None
