"""Result tables of jobs: typed rows with filters, in a total order, read in pages by key."""

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

PAGE = 10_000  # rows

Row = TypeVar("Row")
Key = tuple[Any, ...]
Column = ColumnElement[Any] | InstrumentedAttribute[Any]

# Filter -> option of the command line.
FLAGS = {"layer": "--layer", "units": "--units", "class_name": "--class", "images": "--image", "ranks": "--ranks"}


@dataclass(frozen=True)
class Page(Generic[Row]):
    """A page of rows."""

    rows: list[Row]
    next_key: Key | None  # ``after`` of the next page; None for the last page


@dataclass(frozen=True)
class ResultTable(Generic[Row]):
    """Result rows of the jobs of a kind.

    Parameters
    ----------
    kind
        The kind of job.
    title
        Plural noun for the rows, such as "top activations".
    row
        A dataclass; its fields are the columns.
    source
        The joined tables.
    columns
        Columns by the names of the row's fields.
    job
        The column that holds the job's id.
    key
        Columns, unique together and never NULL, by which the rows of a job are ordered.
    filters
        Names of the filters that apply.
    conditions
        Turns filters into SQL conditions. Raises an error if a filter names something that the job doesn't have.
    check
        Raises an error if the job has no such rows because it was submitted without them.
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
        """Read at most ``limit`` rows that follow the key ``after``, in the order of the table's key.

        Raises
        ------
        NoSuchJob, JobNotOfKind
        UsageError
            A filter doesn't apply. ``check`` and ``conditions`` can raise other errors.
        """
        return self._read(database, self._query(database, job_id, filters), after, limit)

    def rows(self, database: Database, job_id: int, filters: Filters = EVERYTHING) -> Iterator[Row]:
        """Iterate over all rows, a page at a time. Errors are raised by the call, not by the iteration."""
        query = self._query(database, job_id, filters)
        return self._iterate(database, query, self._read(database, query))

    def _iterate(self, database: Database, query: Select[Any], page: Page[Row]) -> Iterator[Row]:
        yield from page.rows
        while page.next_key is not None:
            page = self._read(database, query, page.next_key)
            yield from page.rows

    def _query(self, database: Database, job_id: int, filters: Filters) -> Select[Any]:
        """Build the query of all rows in order; the key's values follow the columns."""
        with database.read() as session:
            conditions = self.conditions(session, self._job(session, job_id, filters), filters)
        query = select(*(column.label(name) for name, column in self.columns.items()))
        query = query.add_columns(*(column.label(f"key_{index}") for index, column in enumerate(self.key)))
        query = query.select_from(self.source).where(self.job == job_id, *conditions)
        return query.order_by(*self.key)

    def _read(
        self, database: Database, query: Select[Any], after: Key | None = None, limit: int = PAGE
    ) -> Page[Row]:
        if after is not None:
            query = query.where(tuple_(*self.key) > after)
        with database.read() as session:
            read = session.execute(query.limit(limit + 1)).all()
        rows = [self.row(*row[: len(self.columns)]) for row in read[:limit]]
        more = len(read) > limit
        return Page(rows, tuple(read[limit - 1][len(self.columns) :]) if more and rows else None)

    def _job(self, session: Session, job_id: int, filters: Filters) -> Job:
        job = job_of_kind(session, job_id, self.kind, self.title)
        self.check(session, job)
        refuse_other_filters(filters, self.filters, self.title)
        return job


@dataclass(frozen=True)
class ComputedTable(Generic[Row]):
    """A small number of rows that are computed from a job's results, all at once."""

    kind: str
    title: str
    row: type[Row]
    compute: Callable[[Database, int, Filters], Sequence[Row]]
    filters: frozenset[str] = frozenset()

    def rows(self, database: Database, job_id: int, filters: Filters = EVERYTHING) -> Iterator[Row]:
        """Iterate over the rows. Errors are raised by the call, not by the iteration."""
        refuse_other_filters(filters, self.filters, self.title)
        return iter(self.compute(database, job_id, filters))


def columns_of(
    row: type[Any], model: type[Any], others: Mapping[str, Column] = MappingProxyType({})
) -> dict[str, Column]:
    """Return a column for each field of ``row``: ``others[name]``, or the attribute of ``model``."""
    return {name: others[name] if name in others else getattr(model, name) for name in row.__dataclass_fields__}


def refuse_other_filters(filters: Filters, known: frozenset[str], title: str) -> None:
    """Raise ``UsageError`` if a filter is given that doesn't apply to these rows."""
    if other := [name for name in filters.given() if name not in known]:
        applying = ", ".join(FLAGS[name] for name in FLAGS if name in known) or "none"
        raise UsageError(reason=f"{FLAGS[other[0]]} does not apply to {title}. Filters that apply: {applying}.")
