"""The descriptor of a kind of job, from which generic code gets all it needs to know about the kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from shared.database.base import Base
from shared.kinds.specification import Specification


@dataclass(frozen=True)
class Kind:
    """A kind of job: the part that producer and worker share.

    Parameters
    ----------
    name
        the folder's name, also used on the command line: ``analyze submit NAME``.
    specification
        the class of its specifications.
    stages
        the stages in order, each with the unit of its work ("images"), or None if the unit is internal.
    tables
        the tables of its results, ordered so that a table comes after those that it refers to.
    tables_added
        the schemas with which tables were added later, by the tables' names: earlier exports lack them.
    describe
        function that returns a short description of a specification.
    summary
        the class of the key figures in ``jobs.summary``; None if they are any JSON object.
    other_jobs
        fields of the specification that hold ids of other jobs; no result may depend on them.
    repeatable
        whether each stage replaces the rows that its shards wrote before, so that `analyze retry` can run done
        shards again that left out images.
    """

    name: str
    specification: type[Specification]
    stages: Mapping[str, str | None]
    tables: tuple[type[Base], ...]
    describe: Callable[[Any], str]
    summary: type[BaseModel] | None = None
    other_jobs: tuple[str, ...] = ()
    repeatable: bool = False
    tables_added: Mapping[str, str] = field(default_factory=dict)
