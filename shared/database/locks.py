"""Who keeps a database locked, for error messages."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, text

UNKNOWN = "another process, which could not be found,"
LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL's SQLSTATE: lock_timeout has passed
READ_LOCKS = range(123, 128)  # bytes of the file -shm that readers lock in WAL mode; they block no writer
# Sessions with an advisory lock, which can outlive transactions, then those with open transactions, the longest
# first. The session that gave up waiting has neither.
POSTGRESQL_SESSIONS = """
    WITH advisory AS (
        SELECT DISTINCT pid FROM pg_locks
        WHERE locktype = 'advisory' AND granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    )
    SELECT pid, coalesce(nullif(application_name, ''), 'without a name'), usename, coalesce(state, 'unknown'),
        extract(epoch FROM clock_timestamp() - xact_start), pid IN (SELECT pid FROM advisory)
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
        AND (xact_start IS NOT NULL OR pid IN (SELECT pid FROM advisory))
    ORDER BY 6 DESC, xact_start LIMIT 3
"""


def is_locked(error: BaseException | None) -> bool:
    """Return whether a driver's error says that a lock was not released in time."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) or (
        getattr(error, "sqlstate", None) == LOCK_NOT_AVAILABLE
    )


def sqlite_holders(file: Path) -> str:
    """Name the processes that hold a write lock on a SQLite file, as far as the system tells."""
    holders = [_describe(pid) for pid in sorted(set(_lock_holders(file))) if pid != os.getpid()]
    return " and ".join(holders) or UNKNOWN


def _lock_holders(file: Path) -> Iterator[int]:
    """Yield the ids of the processes with a write lock on the database or its shared memory (on Linux only)."""
    inodes = {}
    for path in (file, file.with_name(f"{file.name}-shm")):
        with suppress(OSError):
            inodes[path.stat().st_ino] = path
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return
    for line in lines:  # 1: POSIX  ADVISORY  WRITE 1234 08:01:131078 120 120
        fields = line.split()
        if len(fields) != 8 or fields[3] != "WRITE":
            continue
        pid, (_, _, inode), first = int(fields[4]), fields[5].split(":"), int(fields[6])
        is_read_lock = first in READ_LOCKS and inodes.get(int(inode)) != file
        if int(inode) in inodes and pid > 0 and not is_read_lock and _has_open(pid, inodes[int(inode)]):
            yield pid


def _has_open(pid: int, file: Path) -> bool:
    """Return whether a process has the file open; True for processes of other users, which can't be examined."""
    try:
        return any(path.samefile(file) for path in Path(f"/proc/{pid}/fd").iterdir() if path.exists())
    except OSError:
        return True


def _describe(pid: int) -> str:
    """Describe a process by its id and program, without its arguments, which may contain passwords."""
    try:
        return f"process {pid} ({Path(f'/proc/{pid}/comm').read_text(errors='replace').strip()})"
    except OSError:
        return f"process {pid}"


def postgresql_holders(connection: Connection) -> str:
    """Name the sessions with advisory locks or open transactions in this database: one of them holds the lock."""
    sessions = []
    for pid, name, user, state, seconds, has_advisory_lock in connection.execute(text(POSTGRESQL_SESSIONS)):
        details = [f"user {user}", state, *(["holds an advisory lock"] if has_advisory_lock else [])]
        if seconds is not None:
            details.append(f"transaction open for {seconds:.0f} s")
        sessions.append(f"session {pid} ({name}; {', '.join(details)})")
    return " or ".join(sessions) or UNKNOWN
