"""References from the database to files of the artifact store, and the rows that belong to a job."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, ColumnElement, Table, select
from sqlalchemy.orm import Session

from shared.database.base import Base
from shared.database.networks import RegisteredNetwork
from shared.jobs.tables import Job
from shared.kinds.registry import kinds
from shared.store.store import NAME

ROWS_AT_ONCE = 10_000


def artifact_columns() -> list[Column[str]]:
    """Return every column that refers to a file of the store. ``artifacts.path`` is not one: that table lists all
    files, referenced or not."""
    kinds()  # registers the tables of all kinds
    columns = (column for table in Base.metadata.sorted_tables for column in table.columns)
    return [column for column in columns if column.info.get("artifact")]


def rows_of_job(table: Table, job_id: int) -> ColumnElement[bool] | None:
    """Return the condition that selects a job's rows of a table, by its ``job_id`` or by that of a table that it
    refers to; None if the table's rows do not belong to jobs."""
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
    """Yield the paths that rows of one job, or of all jobs, refer to; unordered and possibly repeated."""
    for column in artifact_columns():
        query = select(column).where(column.is_not(None))
        if job_id is not None:
            condition = rows_of_job(column.table, job_id)
            assert condition is not None  # noqa: S101 - a test checks it for every artifact column
            query = query.where(condition)
        yield from session.scalars(query.execution_options(yield_per=ROWS_AT_ONCE))
    jobs = select(Job.specification) if job_id is None else select(Job.specification).where(Job.id == job_id)
    for specification in session.scalars(jobs.execution_options(yield_per=1000)):
        yield from paths_in(specification)
    if job_id is None:
        for factory in session.scalars(select(RegisteredNetwork.factory)):
            yield from paths_in(factory)


def paths_in(value: Any) -> Iterator[str]:
    """Yield every string in a specification that has the form of an artifact's path."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from paths_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from paths_in(inner)
    elif isinstance(value, str) and NAME.fullmatch(value):
        yield value
