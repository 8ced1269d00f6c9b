"""Online backup of a SQLite database."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import quote

from producer.files import whole_file
from shared.database.connection import Database
from shared.errors import DatabaseUnreachable, UsageError


def back_up(database: Database, target: Path) -> int:
    """Copy a SQLite database to ``target`` atomically, and return the copy's size in bytes.

    This is SQLite's online backup: a consistent snapshot, while other processes read and write.

    Raises
    ------
    UsageError
        The database is not a SQLite file.
    FileNotWritable, DatabaseUnreachable
    """
    if not database.is_sqlite:
        raise UsageError(reason=f"The database is not SQLite. Back up PostgreSQL with `{_pg_dump(database)}`.")
    try:
        with whole_file(target) as unfinished:
            unfinished.touch(mode=0o600)
            _copy(database, unfinished)
    except sqlite3.Error as error:
        raise DatabaseUnreachable(url=database, reason=error) from error
    return target.stat().st_size


def _pg_dump(database: Database) -> str:
    """Return the command that backs up a PostgreSQL database, without its password."""
    url = database.url
    host = url.host or url.query.get("host")
    options = {"host": host, "port": url.port or url.query.get("port"), "username": url.username}
    given = [f" --{name} {value}" for name, value in options.items() if value]
    return f"pg_dump --format=custom --file FILE{''.join(given)} {url.database}"


def _copy(database: Database, target: Path) -> None:
    source = sqlite3.connect(f"file:{quote(database.url.database or '')}?mode=ro", uri=True)
    copy = sqlite3.connect(target)
    try:
        source.backup(copy)
        # Without WAL the copy is a single file.
        copy.execute("PRAGMA journal_mode=DELETE")
        result = copy.execute("PRAGMA quick_check").fetchone()
        if result != ("ok",):
            raise sqlite3.DatabaseError(f"the copy is damaged: {result[0]}")
    finally:
        copy.close()
        source.close()
