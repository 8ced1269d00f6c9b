"""Vacuuming: the space of removed rows is freed, and running jobs are not blocked."""

from __future__ import annotations

import contextlib

import pytest
from sqlalchemy import delete, insert, select, update

from producer.operations.vacuum import vacuum
from shared.database.connection import Database
from shared.errors import DatabaseBusy
from shared.jobs.tables import Counter, Job
from tests.integration.stored_schemas import load


def fill_and_delete(database: Database) -> None:
    rows = [{"name": f"{number:0200}", "kind": "", "stage": "", "value": 0.0} for number in range(5000)]
    with database.write() as session:
        session.execute(insert(Counter), rows)
    with database.write() as session:
        session.execute(delete(Counter))


def test_the_space_of_removed_rows_is_freed(database: Database) -> None:
    fill_and_delete(database)
    done = vacuum(database)
    assert done.before - done.after > 1_000_000
    with database.write() as session:  # the connection is as it was
        session.add(Counter(name="n", kind="", stage="", value=1.0))
    with contextlib.suppress(ZeroDivisionError), database.write() as session:
        session.execute(update(Counter).values(value=2.0))
        raise ZeroDivisionError
    with database.read() as session:
        assert session.scalars(select(Counter.value)).all() == [1.0]


def test_running_jobs_are_not_blocked(database_url: str) -> None:
    """PostgreSQL vacuums beside them, SQLite would not let them write."""
    load("0006", "sqlite" if database_url.startswith("sqlite") else "postgresql", database_url)
    database = Database(database_url)
    if database.is_sqlite:
        with database.read() as session:
            running = session.scalars(select(Job.id).where(Job.state == "running").order_by(Job.id)).all()
        with pytest.raises(DatabaseBusy, match=f"jobs {', '.join(map(str, running))}"):
            vacuum(database)
    else:
        assert vacuum(database).after > 0
    database.close()
