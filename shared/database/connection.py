"""Connections to SQLite and PostgreSQL behind one interface.

Use a ``Database`` only in the process that created it: pooled connections must not be shared across a fork.
"""

from __future__ import annotations

import os
import re
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Float, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.sql.functions import GenericFunction

from shared.database.damage import find_damage_of_postgresql, find_damage_of_sqlite
from shared.database.locks import UNKNOWN, is_locked, postgresql_holders, sqlite_holders
from shared.errors import (
    DatabaseDamaged,
    DatabaseFileNotUsable,
    DatabaseFolderNotWritable,
    DatabaseFull,
    DatabaseLocked,
    DatabaseUnreachable,
)
from shared.settings import redacted
from unitscope.errors import UnitscopeError

BUSY_TIMEOUT_MS = 30_000
# Connections of a pool: the threads are their limit. At another one, they would wait for 30 s, and then fail.
UNLIMITED = {"max_overflow": -1}
CONNECT_SECONDS = 10  # a server under load may need some seconds
# The machine of a PostgreSQL server is given up if it acknowledges neither data nor probes of an idle connection.
# A long query is not affected: its machine acknowledges.
LOST_AFTER = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}
DISK_FULL = "53100"  # PostgreSQL's SQLSTATE
NOT_USABLE = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)  # of a SQLite file
READ_ONLY = "25006"  # PostgreSQL's SQLSTATE: a standby, or a server that was set to read-only
SERVER_DAMAGED = "XX"  # how PostgreSQL's SQLSTATE of a damaged file or index begins
NOT_READABLE = re.compile("Could not decode to UTF-8|malformed JSON")  # SQLite's messages of damaged values


class database_now(GenericFunction[float]):
    """Seconds since 1970 by the database's clock, since workers' clocks may be wrong."""

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

    def __init__(self, url: str, connect_seconds: int = CONNECT_SECONDS) -> None:
        self.url = make_url(url)
        self._connect_seconds = connect_seconds
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.url.get_backend_name() == "postgresql":  # always use psycopg 3, whichever driver the URL names
            self.url = self.url.set(drivername="postgresql+psycopg")
        self.engine = self._engine()
        self._reading = self.engine.execution_options(read_only=True)
        self.discards_changes = False  # whether every transaction is rolled back: see ``write``
        self._of_thread = threading.local()

    def __str__(self) -> str:
        return redacted(self.url.render_as_string(hide_password=False))

    def _engine(self) -> Engine:
        if self.is_sqlite:
            pool: dict[str, int] = {}  # of a database in memory, which has one connection
            if self.url.database and self.url.database != ":memory:":
                self._make_folder(Path(self.url.database).parent)
                pool = UNLIMITED
            engine = create_engine(self.url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000}, **pool)
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        name = f"analyze, process {os.getpid()} on {socket.gethostname()}"[:63]  # PostgreSQL's longest name
        arguments = {"connect_timeout": self._connect_seconds, **LOST_AFTER, "fallback_application_name": name}
        given = {name: value for name, value in arguments.items() if name not in self.url.query}
        return create_engine(self.url, pool_pre_ping=True, connect_args=given, **UNLIMITED)

    def _make_folder(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            is_other = isinstance(error, FileExistsError)  # a file, or a link to a missing folder
            reason = "something else has this name" if is_other else error.strerror
            raise DatabaseFolderNotWritable(folder=folder, reason=reason) from error

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a session for reading; on SQLite it does not wait for writers.

        Raises
        ------
        DatabaseUnreachable
            the database does not respond, or the file can't be read.
        """
        shared: Session | None = getattr(self._of_thread, "session", None)
        if shared is not None:
            with self._explained():
                yield shared
            return
        with self._explained(), Session(self._reading, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def one_session(self) -> Iterator[None]:
        """Let all ``read`` of this thread in the block have the same session: a row is read once, and no function
        waits for a second connection while another has the first one. Blocks can't be nested.
        """
        with Session(self._reading, expire_on_commit=False) as session:
            self._of_thread.session = session
            try:
                yield
            finally:
                self._of_thread.session = None

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open a session with one transaction, which is committed at the end and rolled back by an exception.

        With ``discards_changes`` it is always rolled back: a dry run can call code that writes.

        Raises
        ------
        DatabaseUnreachable
            the database does not respond, or can't be written; ``DatabaseFull`` if no space is left.
        """
        with (
            self._explained(),
            Session(self.engine, expire_on_commit=False) as session,
            session.begin() as transaction,
        ):
            yield session
            if self.discards_changes:
                transaction.rollback()

    def execute_outside_transaction(self, statement: str) -> None:
        """Execute a statement that no transaction may contain, such as ``VACUUM``.

        Raises
        ------
        DatabaseUnreachable, DatabaseFull
        """
        options = {"no_transaction": True} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"}
        with self._explained(), self.engine.connect() as connection:
            connection.execution_options(**options).exec_driver_sql(statement)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        except UnitscopeError:
            raise
        except (ValueError, DataError) as error:  # perhaps a value of a row that is no JSON or no time
            self.refuse_damage(error)
            raise
        except (OperationalError, InterfaceError) as error:
            if NOT_READABLE.search(str(error.orig)):
                self.refuse_damage(error)
            if is_locked(error.orig):
                raise self.locked(time.monotonic() - began) from error
            raise _class_of(error)(url=self, reason=first_line(error)) from error
        except DBAPIError as error:
            # Without a statement the connection itself failed: the URL has a parameter that libpq does not know.
            # sqlite3 raises DatabaseError for a file that is damaged or not a database.
            lost = error.connection_invalidated or error.statement is None
            state = getattr(error.orig, "sqlstate", None) or ""
            refused = state == READ_ONLY or state.startswith(SERVER_DAMAGED)
            if lost or refused or type(error.orig) is sqlite3.DatabaseError:
                raise DatabaseUnreachable(url=self, reason=first_line(error)) from error
            raise

    def refuse_damage(self, error: Exception) -> None:
        """Raise an error if the database has a value that can't be read, which explains ``error``.

        Raises
        ------
        DatabaseDamaged
        """
        try:
            if self.is_sqlite:
                damage = find_damage_of_sqlite(Path(self.url.database or ""))
            else:
                with self.engine.connect() as connection:
                    damage = find_damage_of_postgresql(connection)
        except (sqlite3.Error, DBAPIError):  # the schema is another one
            return
        if damage:
            raise DatabaseDamaged(url=self, **vars(damage)) from error

    def locked(self, seconds: float) -> DatabaseLocked:
        """Return the error for a lock that was not released for ``seconds``, with the process that holds it."""
        if self.is_sqlite:
            holder = sqlite_holders(Path(self.url.database or ""))
            return DatabaseLocked(url=self, holder=holder, seconds=round(seconds))
        try:
            with self.engine.connect() as connection:
                holder = postgresql_holders(connection)
        except DBAPIError:
            holder = UNKNOWN
        return DatabaseLocked(url=self, holder=holder, seconds=round(seconds))

    def driver_arguments(self) -> dict[str, Any]:
        """Return the arguments of the driver's own ``connect``, which does not accept SQLAlchemy's URLs."""
        _, named = self.engine.dialect.create_connect_args(self.url)
        return dict(named)

    def close(self) -> None:
        """Close the pooled connections."""
        self.engine.dispose()


def insert_missing(session: Session, model: type[DeclarativeBase], rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows in bulk, without creating ORM objects; skip a row whose key exists."""
    session.execute(dialect_insert(session, model).on_conflict_do_nothing(), rows)


def dialect_insert(session: Session, model: type[DeclarativeBase]) -> Any:
    """Return the dialect's INSERT for a table; the generic one does not support ON CONFLICT."""
    insert: Any = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[session.get_bind().dialect.name]
    return insert(model.__table__)


def first_line(error: DBAPIError) -> str:
    """Return the first line of the driver's message, without the statement."""
    return str(error.orig).strip().splitlines()[0].strip()


def _class_of(error: DBAPIError) -> type[DatabaseUnreachable]:
    """Return the class of our error for one of a driver, which chooses the advice in its message."""
    if _is_full(error):
        return DatabaseFull
    return DatabaseFileNotUsable if _sqlite_code(error) in NOT_USABLE else DatabaseUnreachable


def _sqlite_code(error: DBAPIError) -> int:
    return int(getattr(error.orig, "sqlite_errorcode", 0)) & 0xFF


def _is_full(error: DBAPIError) -> bool:
    """Return whether the disk is full, or a SQLite file has reached its maximum size."""
    return _sqlite_code(error) == sqlite3.SQLITE_FULL or getattr(error.orig, "sqlstate", None) == DISK_FULL


def _prepare_sqlite(connection: sqlite3.Connection, record: object) -> None:
    connection.isolation_level = None  # _begin_sqlite emits BEGIN
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA foreign_keys=ON")
    _use_wal(connection)


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch the file to WAL mode, in which readers and a writer do not block each other. The mode is persistent.

    The switch needs an exclusive lock and ignores the busy timeout: if two processes create the database at the
    same time, one would fail at once with "database is locked". So the switch is retried.
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
    # A transaction that reads first and writes later fails with SQLITE_BUSY_SNAPSHOT, without waiting for the busy
    # timeout, if another one wrote in between. So a writing transaction takes the write lock when it begins.
    read_only = connection.get_execution_options().get("read_only")
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
