"""A copy of the database while others write to it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import quote

from producer.files import whole_file
from shared.database.connection import Database
from shared.errors import DatabaseOutOfReach, UsageError


def back_up(database: Database, target: Path) -> int:
    """Copy a SQLite database to ``target``, which is there whole or not at all; returns its size in bytes.

    It is SQLite's own online backup: a state that was there at one moment, whoever reads or writes meanwhile.

    Raises
    ------
    UsageError
        the database is no SQLite file.
    FileNotWritable, DatabaseOutOfReach
    """
    if not database.is_sqlite:
        raise UsageError(
            reason="A PostgreSQL database is backed up by its own tools: pg_dump --format=custom --file=FILE NAME."
        )
    try:
        with whole_file(target) as unfinished:
            unfinished.touch(mode=0o600)
            _copy(database, unfinished)
    except sqlite3.Error as error:
        raise DatabaseOutOfReach(url=database, reason=error) from error
    return target.stat().st_size


def _copy(database: Database, target: Path) -> None:
    source = sqlite3.connect(f"file:{quote(database.url.database or '')}?mode=ro", uri=True)
    copy = sqlite3.connect(target)
    try:
        source.backup(copy)
        # A file of its own, with no second one beside it that could be forgotten.
        copy.execute("PRAGMA journal_mode=DELETE")
        found = copy.execute("PRAGMA quick_check").fetchone()
        if found != ("ok",):
            raise sqlite3.DatabaseError(f"the copy is damaged: {found[0]}")
    finally:
        copy.close()
        source.close()
