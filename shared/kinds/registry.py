"""The registry of kinds of job: every folder next to this module, by name."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from pydantic import ValidationError

from shared.errors import SpecificationNotReadable, SummaryNotReadable
from shared.kinds import kind_names
from shared.kinds.descriptor import Kind
from shared.kinds.specification import Specification


@cache
def kinds() -> dict[str, Kind]:
    """Import and return all kinds by name. This registers their tables with ``Base.metadata``."""
    return {name: importlib.import_module(f"shared.kinds.{name}").KIND for name in kind_names()}


def parse(kind: str, specification: dict[str, Any]) -> Specification:
    """Return the specification in a job's row.

    Raises
    ------
    SpecificationNotReadable
        another version of unitscope made the job.
    """
    if kind not in kinds():
        raise SpecificationNotReadable(kind=kind, reason="unknown kind")
    try:
        return kinds()[kind].specification.model_validate(specification)
    except ValidationError as error:
        first = error.errors()[0]
        location = ".".join(map(str, first["loc"])) or "specification"
        raise SpecificationNotReadable(kind=kind, reason=f"{location}: {first['msg']}") from error


def specification_values(kind: str, specification: Any) -> dict[str, Any]:
    """Return the values in a specification, also if another version of unitscope made the job.

    Raises
    ------
    SpecificationNotReadable
        the job's row is damaged.
    """
    if not isinstance(specification, dict):
        raise SpecificationNotReadable(kind=kind, reason="it is not an object")
    return specification


def read_summary(kind: str, summary: Any) -> dict[str, Any]:
    """Return the summary in a job's row, without values that are None; it is empty for a job that is not done.

    Raises
    ------
    SummaryNotReadable
        the row is damaged, or another version of unitscope made the job.
    """
    model = kinds()[kind].summary if kind in kinds() else None
    if summary is None:
        return {}
    if not isinstance(summary, dict):
        raise SummaryNotReadable(kind=kind, reason="it is not an object")
    if model:
        try:
            model.model_validate(summary)
        except ValidationError as error:
            first = error.errors()[0]
            location = ".".join(map(str, first["loc"]))
            raise SummaryNotReadable(kind=kind, reason=f"{location}: {first['msg']}") from None
    return {name: value for name, value in summary.items() if value is not None}


def describe(kind: str, specification: dict[str, Any]) -> str:
    """Return a short description of a job, also if another version of unitscope made it."""
    try:
        parsed = parse(kind, specification)
    except SpecificationNotReadable:
        return f"{kind} (made by another version)"
    return kinds()[kind].describe(parsed)


def work_unit(kind: str, stage: str) -> str | None:
    """Return the unit of a stage's work ("images"), or None if the kind is unknown or the unit is internal."""
    descriptor = kinds().get(kind)
    return descriptor.stages.get(stage) if descriptor else None
