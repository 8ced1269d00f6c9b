"""Result tables of jobs: typed rows, with filters, in a total order, read in pages by key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, FromClause, Select, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from producer.results.filters import EVERYTHING, Filters
from producer.results.jobs import job_of_kind
from shared.database.connection import Database
from shared.errors import UsageError
from shared.jobs.tables import Job

PAGE = 10_000  # rows that are read at once

Row = TypeVar("Row")
Key = tuple[Any, ...]
Column = ColumnElement[Any] | InstrumentedAttribute[Any]

# The command line's names of the filters.
FLAGS = {"layer": "--layer", "units": "--units", "class_name": "--class", "images": "--image", "ranks": "--ranks"}


@dataclass(frozen=True)
class Page(Generic[Row]):
    """Some rows, and the key behind which the next ones are; None where these are the last."""

    rows: list[Row]
    next_key: Key | None


@dataclass(frozen=True)
class ResultTable(Generic[Row]):
    """Rows that jobs of a kind left.

    Parameters
    ----------
    kind
        of the jobs.
    title
        what the rows are, in the plural: "top activations".
    row
        a dataclass; its fields are the columns.
    source
        the tables that are joined.
    columns
        by the names of the row's fields.
    job
        the column that holds the job's number.
    key
        columns that order the rows of a job, no two of which are equal in all of them; none is ever NULL.
    filters
        the names of the filters that apply.
    conditions
        what the filters mean: it is given the job and the filters. It raises an error where a filter names
        something that the job doesn't have.
    check
        raises an error if the job has no such rows, because it was not asked for them.
    """

    kind: str
    title: str
    row: type[Row]
    source: FromClause
    columns: Mapping[str, Column]
    job: Column
    key: Sequence[Column]
    filters: frozenset[str] = frozenset()
    conditions: Callable[[Session, Job, Filters], Sequence[ColumnElement[bool]]] = lambda session, job, filters: ()
    check: Callable[[Session, Job], None] = lambda session, job: None

    def page(
        self,
        database: Database,
        job_id: int,
        filters: Filters = EVERYTHING,
        *,
        after: Key | None = None,
        limit: int = PAGE,
    ) -> Page[Row]:
        """Read the rows behind a key, at most ``limit``, in the order of the table's key.

        Raises
        ------
        NoSuchJob, JobNotOfKind, UsageError
            a filter doesn't apply; and what ``check`` and ``conditions`` raise.
        """
        return self._read(database, self._query(database, job_id, filters), after, limit)

    def rows(self, database: Database, job_id: int, filters: Filters = EVERYTHING) -> Iterator[Row]:
        """Iterate over all rows, read a page at a time; what is wrong is raised at once."""
        query = self._query(database, job_id, filters)
        return self._following(database, query, self._read(database, query))

    def _following(self, database: Database, query: Select[Any], page: Page[Row]) -> Iterator[Row]:
        yield from page.rows
        while page.next_key is not None:
            page = self._read(database, query, page.next_key)
            yield from page.rows

    def _query(self, database: Database, job_id: int, filters: Filters) -> Select[Any]:
        """All rows in order, with the values of the key behind the columns."""
        with database.read() as session:
            conditions = self.conditions(session, self._job(session, job_id, filters), filters)
        query = select(*(column.label(name) for name, column in self.columns.items()))
        query = query.add_columns(*(column.label(f"key_{place}") for place, column in enumerate(self.key)))
        query = query.select_from(self.source).where(self.job == job_id, *conditions)
        return query.order_by(*self.key)

    def _read(
        self, database: Database, query: Select[Any], after: Key | None = None, limit: int = PAGE
    ) -> Page[Row]:
        if after is not None:
            query = query.where(tuple_(*self.key) > after)
        with database.read() as session:
            found = session.execute(query.limit(limit + 1)).all()
        rows = [self.row(*row[: len(self.columns)]) for row in found[:limit]]
        more = len(found) > limit
        return Page(rows, tuple(found[limit - 1][len(self.columns) :]) if more and rows else None)

    def _job(self, session: Session, job_id: int, filters: Filters) -> Job:
        job = job_of_kind(session, job_id, self.kind, self.title)
        self.check(session, job)
        refuse_other_filters(filters, self.filters, self.title)
        return job


@dataclass(frozen=True)
class ComputedTable(Generic[Row]):
    """Rows that are worked out from a job's result: a few, all at once."""

    kind: str
    title: str
    row: type[Row]
    compute: Callable[[Database, int, Filters], Sequence[Row]]
    filters: frozenset[str] = frozenset()

    def rows(self, database: Database, job_id: int, filters: Filters = EVERYTHING) -> Iterator[Row]:
        """Iterate over the rows; what is wrong is raised at once."""
        refuse_other_filters(filters, self.filters, self.title)
        return iter(self.compute(database, job_id, filters))


def columns_of(
    row: type[Any], of: type[Any], others: Mapping[str, Column] = MappingProxyType({})
) -> dict[str, Column]:
    """Return the columns for the fields of ``row``: those of the model ``of`` that have their names, or others."""
    return {name: others[name] if name in others else getattr(of, name) for name in row.__dataclass_fields__}


def refuse_other_filters(filters: Filters, known: frozenset[str], title: str) -> None:
    """Raise ``UsageError`` if a filter is given that doesn't apply to these rows."""
    if other := [name for name in filters.given() if name not in known]:
        applying = ", ".join(FLAGS[name] for name in FLAGS if name in known) or "none"
        raise UsageError(reason=f"{FLAGS[other[0]]} does not apply to {title}. What applies: {applying}.")
