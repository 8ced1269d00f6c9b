"""The connection to the database: SQLite or PostgreSQL, the same for all that comes after.

A ``Database`` belongs to the process that made it: pooled connections must not cross a fork.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Float, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.sql.functions import GenericFunction

from shared.errors import DatabaseFull, DatabaseOutOfReach
from shared.settings import redacted

BUSY_TIMEOUT_MS = 30_000
DISK_FULL = "53100"  # PostgreSQL's code
READ_ONLY = "25006"  # PostgreSQL's code: a standby, or a server that somebody holds still for a while


class database_now(GenericFunction[float]):
    """Seconds since 1970 by the database's own clock: a worker's clock may be wrong."""

    type = Float()
    inherit_cache = True


@compiles(database_now, "sqlite")
def _now_sqlite(element: database_now, compiler: Any, **options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(database_now, "postgresql")
def _now_postgresql(element: database_now, compiler: Any, **options: Any) -> str:
    return "extract(epoch from clock_timestamp())::double precision"


class Database:
    """Sessions on one database, for reading or for writing."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.url.get_backend_name() == "postgresql":  # whatever driver the URL names: ours is psycopg 3
            self.url = self.url.set(drivername="postgresql+psycopg")
        self.engine = self._engine()
        self._reading = self.engine.execution_options(read_only=True)

    def __str__(self) -> str:
        return redacted(self.url.render_as_string(hide_password=False))

    def _engine(self) -> Engine:
        if self.is_sqlite:
            if self.url.database and self.url.database != ":memory:":
                self._make_folder(Path(self.url.database).parent)
            engine = create_engine(self.url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        return create_engine(self.url, pool_pre_ping=True, connect_args={"connect_timeout": 10})

    def _make_folder(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatabaseOutOfReach(url=self, reason=f"{folder}: {error.strerror}") from error

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for reading: on SQLite it waits for no writer.

        Raises
        ------
        DatabaseOutOfReach
            the database doesn't answer, or the file can't be read.
        """
        with self._explained(), Session(self._reading, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session in one transaction: committed at the end, rolled back by an exception.

        Raises
        ------
        DatabaseOutOfReach
            the database doesn't answer, or can't be written; ``DatabaseFull``: there is no room left.
        """
        with self._explained(), Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    def execute_outside_transaction(self, statement: str) -> None:
        """Execute a statement that no transaction may contain, such as ``VACUUM``.

        Raises
        ------
        DatabaseOutOfReach, DatabaseFull
        """
        options = {"no_transaction": True} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"}
        with self._explained(), self.engine.connect() as connection:
            connection.execution_options(**options).exec_driver_sql(statement)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (OperationalError, InterfaceError) as error:
            kind = DatabaseFull if _is_full(error) else DatabaseOutOfReach
            raise kind(url=self, reason=first_line(error)) from error
        except DBAPIError as error:
            # Without a statement nobody got as far as that: the URL says something that libpq doesn't know. And
            # sqlite3 says DatabaseError of a file that is damaged, or is no database.
            lost = error.connection_invalidated or error.statement is None
            read_only = getattr(error.orig, "sqlstate", None) == READ_ONLY
            if lost or read_only or type(error.orig) is sqlite3.DatabaseError:
                raise DatabaseOutOfReach(url=self, reason=first_line(error)) from error
            raise

    def driver_arguments(self) -> dict[str, Any]:
        """What the driver's own ``connect`` is to be told: its URLs are not SQLAlchemy's."""
        _, named = self.engine.dialect.create_connect_args(self.url)
        return dict(named)

    def close(self) -> None:
        """Close the pooled connections."""
        self.engine.dispose()


def insert_missing(session: Session, model: type[DeclarativeBase], rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows, without making an object of each; one whose key is there already is left as it is."""
    session.execute(upserting(session, model).on_conflict_do_nothing(), rows)


def upserting(session: Session, model: type[DeclarativeBase]) -> Any:
    """The session's own INSERT of a table: SQLAlchemy's general one knows no ON CONFLICT."""
    insert: Any = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[session.get_bind().dialect.name]
    return insert(model.__table__)


def first_line(error: DBAPIError) -> str:
    """The driver's own words, without the statement."""
    return str(error.orig).strip().splitlines()[0].strip()


def _is_full(error: DBAPIError) -> bool:
    """SQLite says so of its disk and of its largest size, PostgreSQL of its disk."""
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    return code == sqlite3.SQLITE_FULL or getattr(error.orig, "sqlstate", None) == DISK_FULL


def _prepare_sqlite(connection: sqlite3.Connection, record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, see _begin_sqlite
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA foreign_keys=ON")
    _use_wal(connection)


def _use_wal(connection: sqlite3.Connection) -> None:
    """Let readers and a writer pass each other; the file remembers it.

    The change needs the file for itself, and doesn't wait for it: two processes that make a database at the same
    moment would meet "database is locked" at once, whatever the timeout.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _begin_sqlite(connection: Connection) -> None:
    if connection.get_execution_options().get("no_transaction"):
        return
    # A transaction that reads and then writes fails at once with SQLITE_BUSY_SNAPSHOT if another one wrote
    # in between, whatever the timeout: so a writing transaction takes the write lock from the start.
    read_only = connection.get_execution_options().get("read_only")
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
