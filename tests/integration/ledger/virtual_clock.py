"""A database's clock that a test moves: leases run out because time passes, and in no time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.compiler import compiles

from shared.database import connection as product
from shared.database.connection import Database, database_now

BEGIN = 1_000_000.0


class VirtualClock:
    """The one row of a table that ``database_now`` is read from, in seconds."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = BEGIN
        with database.write() as session:
            session.execute(text("CREATE TABLE virtual_clock (now DOUBLE PRECISION NOT NULL)"))
            session.execute(text("INSERT INTO virtual_clock VALUES (:now)"), {"now": self.now})

    def advance(self, seconds: float) -> None:
        """Let time pass; whole seconds keep comparisons exact."""
        self.set(self.now + seconds)

    def set(self, now: float) -> None:
        self.now = now
        with self.database.write() as session:
            session.execute(text("UPDATE virtual_clock SET now = :now"), {"now": now})


@contextmanager
def virtual_clock(url: str) -> Iterator[tuple[Database, VirtualClock]]:
    """A database that has a schema, opened so that its clock is virtual.

    It needs an engine of its own, since an engine keeps the SQL of statements that it has compiled.
    """

    def compiled(element: database_now, compiler: Any, **options: Any) -> str:
        return "(SELECT now FROM virtual_clock)"

    dialects = {"sqlite": product._now_sqlite, "postgresql": product._now_postgresql}
    for dialect in dialects:
        compiles(database_now, dialect)(compiled)
    database = Database(url)
    try:
        yield database, VirtualClock(database)
    finally:
        database.close()
        for dialect, original in dialects.items():
            compiles(database_now, dialect)(original)
