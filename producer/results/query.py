"""User queries, on a read-only connection with limits on rows, memory and time."""

from __future__ import annotations

import math
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import text

from producer.results.functions import refuse_side_effects
from producer.results.query_limits import TEMPORARY_ROWS, keep_temporary_rows_in_memory
from shared.database.connection import Database
from shared.database.locks import is_locked
from shared.errors import DatabaseUnreachable, QueryFailed

if TYPE_CHECKING:
    import psycopg

SQLITE_ALLOWED = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_RECURSIVE,
}
SQLITE_REFUSED_FUNCTIONS = {"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer"}
SQLITE_BUSY_SECONDS = 5.0  # time to wait for a lock; only another program can lock out readers
IS_SUPERUSER = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
CANCEL_SECONDS = 1.0  # between two attempts to cancel a query on PostgreSQL
LARGEST_VALUE = 10_000_000  # bytes
LARGEST_ANSWER = 200_000_000  # bytes
MOST_COLUMNS = 100
READS = "a query can only read (SELECT) views and tables"
READING = re.compile(r"\s*(\(|(select|with|values|table)\b)", re.IGNORECASE)  # on PostgreSQL
TOO_MUCH = f"its result is more than {LARGEST_ANSWER // 1_000_000} MB: select fewer rows or shorter values"
NO_MEMORY = (
    f"its result is more than {LARGEST_ANSWER // 1_000_000} MB, or it needs more than "
    f"{TEMPORARY_ROWS // 1_000_000} MB to sort, group, or store its rows: select fewer rows or shorter values"
)


@dataclass(frozen=True)
class Answer:
    """The result of a query."""

    columns: list[str]
    rows: Sequence[Sequence[Any]]
    cut: bool  # there are more rows than the limit


def run_query(database: Database, sql: str, *, limit: int, seconds: float) -> Answer:
    """Run a single statement that only reads.

    Raises
    ------
    QueryFailed
        The statement writes, is invalid, is more than one statement, takes too long, or gives too much data.
    DatabaseUnreachable
    """
    if database.is_sqlite:
        return _query_sqlite(database, sql, limit, seconds)
    return _query_postgresql(database, sql, limit, seconds)


COLUMNS_SQLITE = """SELECT m.name, m.type = 'view', p.name FROM sqlite_master m JOIN pragma_table_info(m.name) p
    WHERE m.type IN ('table', 'view') ORDER BY m.name, p.cid"""
COLUMNS_POSTGRESQL = """SELECT c.table_name, t.table_type = 'VIEW', c.column_name FROM information_schema.columns c
    JOIN information_schema.tables t USING (table_schema, table_name)
    WHERE table_schema = current_schema() ORDER BY c.table_name, c.ordinal_position"""
INTERNAL = ("_rows", "alembic_version", "database_identity", "counters")  # how names of other tables end


@dataclass(frozen=True)
class Readable:
    """A view or table with its columns."""

    name: str
    view: bool
    columns: list[str]


def readable_tables(database: Database) -> list[Readable]:
    """Return the views and tables that queries can use, views first; the rows behind views are left out."""
    found: dict[str, Readable] = {}
    with database.read() as session:
        rows = session.execute(text(COLUMNS_SQLITE if database.is_sqlite else COLUMNS_POSTGRESQL))
        for name, view, column in rows:
            found.setdefault(name, Readable(name, bool(view), [])).columns.append(column)
    readable = [table for name, table in found.items() if not name.endswith(INTERNAL)]
    return sorted(readable, key=lambda table: (not table.view, table.name))


def _fetch(
    fetch: Callable[[int], Sequence[Sequence[Any]]], count: int, at_once: int = 100, deadline: float = math.inf
) -> list[Sequence[Any]]:
    """Fetch at most ``count`` rows.

    Raises
    ------
    QueryFailed
        The rows are larger than ``LARGEST_ANSWER``.
    TimeoutError
    """
    rows: list[Sequence[Any]] = []
    size = 0
    while len(rows) < count and (batch := fetch(min(at_once, count - len(rows)))):
        rows += batch
        if time.monotonic() > deadline:
            raise TimeoutError
        size += sum(len(value) if isinstance(value, (str, bytes)) else 8 for row in batch for value in row)
        if size > LARGEST_ANSWER:
            raise QueryFailed(reason=TOO_MUCH)
    return rows


def _query_sqlite(database: Database, sql: str, limit: int, seconds: float) -> Answer:
    def authorize(action: int, first: str | None, second: str | None, *rest: object) -> int:
        if action in SQLITE_ALLOWED:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and second not in SQLITE_REFUSED_FUNCTIONS:
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY

    uri = f"file:{quote(database.url.database or '')}?mode=ro"
    try:
        connection = sqlite3.connect(uri, uri=True, timeout=SQLITE_BUSY_SECONDS)
    except sqlite3.Error as error:
        raise DatabaseUnreachable(url=database, reason=error) from error
    try:
        deadline = time.monotonic() + seconds
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_VALUE)
        connection.setlimit(sqlite3.SQLITE_LIMIT_COLUMN, MOST_COLUMNS)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        keep_temporary_rows_in_memory(connection)
        connection.set_authorizer(authorize)
        connection.set_progress_handler(lambda: int(time.monotonic() > deadline), 10_000)
        cursor = connection.execute(sql)
        if cursor.description is None:
            raise QueryFailed(reason="it returns no rows")
        rows = _fetch(cursor.fetchmany, limit + 1, at_once=1, deadline=deadline)
        return Answer([column[0] for column in cursor.description], rows[:limit], len(rows) > limit)
    except MemoryError as error:
        raise QueryFailed(reason=NO_MEMORY) from error
    except TimeoutError as error:
        raise QueryFailed(reason=f"it took more than {seconds:g} s; raise the limit with --seconds") from error
    except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
        if is_locked(error):
            raise database.locked(SQLITE_BUSY_SECONDS) from error
        timed_out = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT
        reason = f"it took more than {seconds:g} s; raise the limit with --seconds" if timed_out else str(error)
        if reason == "not authorized":  # and nothing more, such as the name of a function
            reason = f"{reason}: {READS}"
        raise QueryFailed(reason=reason) from error
    finally:
        connection.close()


def _query_postgresql(database: Database, sql: str, limit: int, seconds: float) -> Answer:
    import psycopg  # needed for PostgreSQL only

    try:
        connection = psycopg.connect(**{**database.driver_arguments(), "connect_timeout": 10})
    except psycopg.Error as error:
        raise DatabaseUnreachable(url=database, reason=str(error).strip().splitlines()[0]) from error
    try:
        connection.read_only = True
        is_superuser = connection.execute(IS_SUPERUSER).fetchone()
        # A superuser's SELECT can read all tables of the server. This guards against mistakes; `analyze doctor`
        # advises a role that can only read.
        if is_superuser == (True,):
            connection.execute("SET LOCAL ROLE pg_read_all_data")
        refuse_side_effects(connection, sql)
        connection.execute(f"SET LOCAL statement_timeout = {max(1, round(seconds * 1000))}")
        # A server-side cursor accepts a single SELECT and nothing else: no COPY, no second statement, no SET.
        deadline = time.monotonic() + seconds
        with _cancelled_after(connection, seconds), connection.cursor(name="query") as cursor:
            cursor.execute(sql)
            rows = _fetch(cursor.fetchmany, limit + 1, deadline=deadline)
            columns = [column.name for column in cursor.description or ()]
            return Answer(columns, rows[:limit], len(rows) > limit)
    except MemoryError as error:
        raise QueryFailed(reason=TOO_MUCH) from error
    except (TimeoutError, psycopg.errors.QueryCanceled) as error:
        raise QueryFailed(reason=f"it took more than {seconds:g} s; raise the limit with --seconds") from error
    except (psycopg.Error, UnicodeError) as error:
        reason = str(error).strip().splitlines()[0]
        if isinstance(error, psycopg.errors.SyntaxError) and not READING.match(sql):
            reason = f"{reason}: {READS}"
        raise QueryFailed(reason=reason) from error
    finally:
        connection.close()


@contextmanager
def _cancelled_after(connection: psycopg.Connection, seconds: float) -> Iterator[None]:
    """Cancel what the connection runs after ``seconds``, through a second connection, until the block ends.

    ``statement_timeout`` is not enough: it is read at the start of a statement, and a query consists of several,
    one for each batch of rows.
    """
    done = threading.Event()

    def watch() -> None:
        wait = seconds
        while not done.wait(wait):
            with suppress(Exception):  # the server is down, or has no free connection
                connection.cancel_safe(timeout=CANCEL_SECONDS)
            wait = CANCEL_SECONDS

    thread = threading.Thread(target=watch, name="time limit of a query", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
