"""A database clock that tests control, so that leases expire without waiting."""

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
    """The clock: a table with one row, from which ``database_now`` is read, in seconds."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = BEGIN
        with database.write() as session:
            session.execute(text("CREATE TABLE virtual_clock (now DOUBLE PRECISION NOT NULL)"))
            session.execute(text("INSERT INTO virtual_clock VALUES (:now)"), {"now": self.now})

    def advance(self, seconds: float) -> None:
        """Advance the clock; use whole seconds to keep comparisons exact."""
        self.set(self.now + seconds)

    def set(self, now: float) -> None:
        self.now = now
        with self.database.write() as session:
            session.execute(text("UPDATE virtual_clock SET now = :now"), {"now": now})


@contextmanager
def virtual_clock(url: str) -> Iterator[tuple[Database, VirtualClock]]:
    """Open a database, whose schema exists, with a virtual clock.

    It needs its own engine, since an engine caches the compiled SQL of statements.
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
