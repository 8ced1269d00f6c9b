"""What the command line and pages ask about a kind of job.

Nothing here imports what a kind is made of: ``analyze`` has to start at once.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Result:
    """Result rows that ``analyze results`` prints.

    Parameters
    ----------
    name
        of the option, ``--NAME``; for the rows that come without an option, what they are: "top activations".
    table
        ``module:attribute`` of a ``producer.results.tables.ResultTable`` or ``ComputedTable``.
    help
        of the option.
    takes_count
        the option takes a number: so many rows.
    """

    name: str
    table: str
    help: str = ""
    takes_count: bool = False


@dataclass(frozen=True)
class ProducerKind:
    """A kind of job, as the producer knows it. Everything is named as ``module:attribute``.

    Parameters
    ----------
    command
        the command of ``analyze submit NAME``.
    results
        the rows that jobs leave; the first ones come without an option.
    page
        a function ``(database, store, job_id, filters) -> str`` that renders a job's HTML page; None: it has none.
    page_filters
        names of the filters that apply to the page: see ``producer.results.filters``.
    verbs
        further commands of ``analyze``, by their names.
    """

    name: str
    command: str
    results: tuple[Result, ...]
    page: str | None = None
    page_filters: frozenset[str] = frozenset()
    verbs: Mapping[str, str] = field(default_factory=dict)


def load(place: str) -> Any:
    """Import what ``module:attribute`` names."""
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)
