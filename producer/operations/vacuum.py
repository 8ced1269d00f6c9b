"""Vacuum of the database, which frees the space of removed rows."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select, text

from shared.database.connection import Database
from shared.errors import DatabaseBusy
from shared.jobs.removal import list_job_ids
from shared.jobs.tables import Job, JobState


@dataclass(frozen=True)
class Vacuumed:
    """Size of the database before and after, in bytes."""

    before: int
    after: int


def vacuum(database: Database) -> Vacuumed:
    """Vacuum the database and update the statistics of the query planner.

    SQLite rewrites the file without the space of removed rows, and blocks all other writers while it runs.
    PostgreSQL doesn't block writers, and keeps the space for new rows.

    Raises
    ------
    DatabaseBusy
        Jobs are running, and the database is SQLite.
    DatabaseUnreachable, DatabaseFull
    """
    if database.is_sqlite:
        with database.read() as session:
            running = session.scalars(select(Job.id).where(Job.state == JobState.RUNNING).order_by(Job.id)).all()
        if running:
            raise DatabaseBusy(url=database, jobs=list_job_ids(running))
    before = database_size(database)
    statements = (
        ("VACUUM", "ANALYZE", "PRAGMA wal_checkpoint(TRUNCATE)") if database.is_sqlite else ("VACUUM (ANALYZE)",)
    )
    for statement in statements:
        database.execute_outside_transaction(statement)
    return Vacuumed(before, database_size(database))


def database_size(database: Database) -> int:
    """Return the size of the database in bytes, without SQLite's log of recent writes."""
    with database.read() as session:
        if not database.is_sqlite:
            return int(session.scalar(select(func.pg_database_size(func.current_database()))) or 0)
        pages = session.scalar(text("PRAGMA page_count")) or 0
        return int(pages) * int(session.scalar(text("PRAGMA page_size")) or 0)
