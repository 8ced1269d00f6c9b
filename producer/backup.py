"""A copy of the database while others write to it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from shared.database import Database
from shared.errors import DatabaseOutOfReach, FileNotWritable, UsageError


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
    unfinished = target.with_name(f".{target.name}.part")
    try:
        unfinished.touch(mode=0o600)
        _copy(database, unfinished)
        with unfinished.open("rb") as written:
            os.fsync(written.fileno())
        unfinished.rename(target)
    except OSError as error:
        raise FileNotWritable(path=target, reason=error.strerror or error) from error
    except sqlite3.Error as error:
        raise DatabaseOutOfReach(url=database, reason=error) from error
    finally:
        unfinished.unlink(missing_ok=True)
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
