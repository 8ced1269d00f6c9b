"""Restore of a backup into an empty database: a copy by SQLite, or the dump of pg_dump by pg_restore."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import inspect, text
from sqlalchemy.orm import Session

from shared.database.base import Base
from shared.database.connection import Database
from shared.database.schema import NEWEST_REVISION, current_revision
from shared.errors import (
    BackupNotReadable,
    DatabaseNotEmpty,
    DatabaseUnreachable,
    SchemaTooNew,
    UsageError,
    WorkersAlive,
)
from shared.jobs.ledger import Ledger
from shared.kinds.registry import kinds
from shared.store.store import IDENTITY_FILE
from unitscope.errors import NoSuchFile

# Tables that can have rows though nothing was registered or submitted.
WITHOUT_CONTENT = ("alembic_version", "database_identity", "workers", "counters")
SQLITE, DUMP = b"SQLite format 3\0", b"PGDMP"  # with which the files begin


def restore(database: Database, backup: Path) -> None:
    """Restore a backup into a database without data sets and jobs, which may have the tables.

    Raises
    ------
    NoSuchFile
    BackupNotReadable
        the file is damaged, or a backup of another kind of database.
    DatabaseNotEmpty, WorkersAlive, SchemaTooNew, DatabaseUnreachable
    UsageError
        pg_restore is not installed.
    """
    _check_kind(database, backup)
    require_unused(database)
    if database.is_sqlite:
        _restore_sqlite(database, backup)
    else:
        _restore_postgresql(database, backup)


def require_unused(database: Database) -> None:
    """Check that a database has no content, and that no worker uses it.

    Raises
    ------
    WorkersAlive, DatabaseNotEmpty, DatabaseUnreachable
    """
    kinds()  # registers the tables of all kinds
    with database.read() as session:
        tables = _tables(session)
        content = [description for table in tables if (description := _content(session, table))]
    if content:
        remedy = "move its file" if database.is_sqlite else "ALTER DATABASE ... RENAME TO ..., CREATE DATABASE ..."
        shown = ", ".join(content[:4]) + (", ..." if len(content) > 4 else "")
        raise DatabaseNotEmpty(url=database, content=shown, remedy=remedy)
    if current_revision(database) == NEWEST_REVISION and (workers := Ledger(database).live_workers()):
        raise WorkersAlive(url=database, workers=", ".join(worker.name for worker in workers))


def _tables(session: Session) -> list[str]:
    return sorted(inspect(session.connection()).get_table_names())


def _content(session: Session, table: str) -> str:
    """Describe a table's content: ``3 jobs``; an empty text if there is none."""
    if table in WITHOUT_CONTENT:
        return ""
    if table not in Base.metadata.tables:  # removed only if it is ours
        return f"the table {table} of another program"
    name = session.connection().dialect.identifier_preparer.quote(table)
    condition = f" WHERE path <> '{IDENTITY_FILE}'" if table == "artifacts" else ""
    rows = session.scalar(text(f"SELECT count(*) FROM {name}{condition}"))  # noqa: S608
    return f"{rows} {table}" if rows else ""


def _check_kind(database: Database, backup: Path) -> None:
    try:
        with backup.open("rb") as file:
            begins = file.read(len(SQLITE))
    except FileNotFoundError:
        raise NoSuchFile(path=backup) from None
    except OSError as error:
        raise BackupNotReadable(path=backup, reason=f"{error.strerror}.") from error
    expected, kind = (SQLITE, "SQLite") if database.is_sqlite else (DUMP, "PostgreSQL")
    if begins.startswith(expected):
        return
    if begins.startswith((SQLITE, DUMP)):
        other = "PostgreSQL" if database.is_sqlite else "SQLite"
        reason = f"it is one of a {other} database, but {database} is a {kind} database."
    else:
        made = "`analyze db backup`" if database.is_sqlite else "pg_dump --format=custom"
        reason = f"it was not made by {made}."
    raise BackupNotReadable(path=backup, reason=reason)


# --- SQLite ---


def _restore_sqlite(database: Database, backup: Path) -> None:
    """Copy the pages of the backup into the database in one transaction, so that an interrupted copy changes
    nothing."""
    database.close()
    source = sqlite3.connect(f"file:{quote(str(backup.absolute()))}?mode=ro", uri=True)
    target = sqlite3.connect(database.url.database or "")
    try:
        _check_backup(source, backup)
        source.backup(target)
        target.execute("PRAGMA journal_mode=WAL")
    except sqlite3.Error as error:
        raise DatabaseUnreachable(url=database, reason=error) from error
    finally:
        source.close()
        target.close()


def _check_backup(source: sqlite3.Connection, backup: Path) -> None:
    try:
        (result,) = source.execute("PRAGMA quick_check(1)").fetchone()
        (page_size,) = source.execute("PRAGMA page_size").fetchone()
        if backup.stat().st_size % page_size:  # SQLite ignores a part of the last page
            result = "it was cut off"
    except sqlite3.Error as error:
        result = error
    if result != "ok":
        raise BackupNotReadable(path=backup, reason=f"it is damaged ({result}).")
    try:
        (revision,) = source.execute("SELECT version_num FROM alembic_version").fetchone()
    except (sqlite3.Error, TypeError):
        raise BackupNotReadable(path=backup, reason="it is not a database of unitscope.") from None
    if revision > NEWEST_REVISION:
        raise SchemaTooNew(url=backup, found=revision, needed=NEWEST_REVISION)


# --- PostgreSQL ---


def _restore_postgresql(database: Database, backup: Path) -> None:
    """Run pg_restore in one transaction, after removing the tables that `analyze db upgrade` has created."""
    program = shutil.which("pg_restore")
    if program is None:
        raise UsageError(
            reason="pg_restore is not installed here, or not in PATH. Install the client programs of PostgreSQL, "
            "of the server's version or newer, or run pg_restore where they are: see docs/operations/care.md."
        )
    _run([program, "--file", os.devnull, str(backup)], backup, {})  # reads it to its end
    _drop_schema(database)
    options = ("--no-owner", "--exit-on-error", "--single-transaction")
    url, environment = connection_of(database)
    _run([program, *options, "--dbname", url, str(backup)], backup, environment)


def connection_of(database: Database) -> tuple[str, dict[str, str]]:
    """Return the URL of a PostgreSQL database for its own programs, and the variable with its password, since
    others can read the arguments of programs."""
    url = database.url.set(drivername="postgresql")
    password = url.password or url.query.get("password")
    url = url.difference_update_query(["password"]).set(password=None)
    return url.render_as_string(hide_password=False), {"PGPASSWORD": str(password)} if password else {}


def _drop_schema(database: Database) -> None:
    """Drop the tables, which are empty, and with them the views."""
    with database.write() as session:
        quoted = session.connection().dialect.identifier_preparer.quote
        for table in _tables(session):
            session.execute(text(f"DROP TABLE {quoted(table)} CASCADE"))


def _run(command: Sequence[str], backup: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"pg_restore exited with {done.returncode}"]
        raise BackupNotReadable(path=backup, reason=f"{lines[0]}.")
