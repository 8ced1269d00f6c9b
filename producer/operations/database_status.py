"""Status of the database for ``analyze doctor``."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select, text

from producer.results.query import IS_SUPERUSER
from shared.database.connection import Database
from shared.database.datasets import Dataset
from shared.jobs.tables import Job


@dataclass(frozen=True)
class DatabaseStatus:
    """Numbers of data sets and jobs, and whether the connection's user is a superuser."""

    datasets: int
    jobs: int
    is_superuser: bool


def database_status(database: Database) -> DatabaseStatus:
    """Query the status of the database.

    Raises
    ------
    DatabaseUnreachable
    """
    with database.read() as session:
        jobs = session.scalar(select(func.count()).select_from(Job)) or 0
        datasets = session.scalar(select(func.count()).select_from(Dataset)) or 0
        is_superuser = not database.is_sqlite and bool(session.scalar(text(IS_SUPERUSER)))
    return DatabaseStatus(datasets, jobs, is_superuser)
