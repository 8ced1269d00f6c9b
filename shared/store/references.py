"""Which files of the artifact store the database refers to, and which rows belong to a job."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, ColumnElement, Table, select
from sqlalchemy.orm import Session

from shared.database.base import Base
from shared.jobs.tables import Job
from shared.kinds.registry import kinds
from shared.store.store import NAME

ROWS_AT_ONCE = 10_000


def artifact_columns() -> list[Column[str]]:
    """Every column that names a file of the store. The table ``artifacts`` is none: it lists what was made."""
    kinds()  # registers their tables
    columns = (column for table in Base.metadata.sorted_tables for column in table.columns)
    return [column for column in columns if column.info.get("artifact")]


def rows_of_job(table: Table, job_id: int) -> ColumnElement[bool] | None:
    """The condition for a job's rows of a table, by its ``job_id`` or by that of a table that it refers to; None:
    the table has none of any job."""
    if table is Job.__table__:
        return Job.id == job_id
    if "job_id" in table.columns:
        return table.columns.job_id == job_id
    for key in sorted(table.foreign_keys, key=lambda key: key.parent.name):
        referred = key.column.table
        if "job_id" in referred.columns and not key.parent.nullable:
            return key.parent.in_(select(key.column).where(referred.columns.job_id == job_id))
    return None


def referenced_artifacts(session: Session, job_id: int | None = None) -> Iterator[str]:
    """Paths that rows name, of one job or of all, in no order; some more than once."""
    for column in artifact_columns():
        query = select(column).where(column.is_not(None))
        if job_id is not None:
            condition = rows_of_job(column.table, job_id)
            assert condition is not None  # noqa: S101 - a test sees to it
            query = query.where(condition)
        yield from session.scalars(query.execution_options(yield_per=ROWS_AT_ONCE))
    jobs = select(Job.specification) if job_id is None else select(Job.specification).where(Job.id == job_id)
    for specification in session.scalars(jobs.execution_options(yield_per=1000)):
        yield from _paths_in(specification)


def _paths_in(value: Any) -> Iterator[str]:
    """What looks like a path of the store, anywhere in a specification."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from _paths_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _paths_in(inner)
    elif isinstance(value, str) and NAME.fullmatch(value):
        yield value
