"""Garbage collection of the artifact store: find and remove files that no row refers to.

Attempts that were killed or failed leave such files, and so do training runs that were killed after an epoch,
before they removed the training state of the previous one.
"""

from __future__ import annotations

import contextlib
import math
import secrets
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import ColumnElement, delete, func, insert, select
from sqlalchemy.orm import Session

from shared.database.connection import Database
from shared.jobs.files import add_stored_bytes
from shared.jobs.tables import Artifact, Event, Job, Shard, ShardState
from shared.store.references import referenced_artifacts
from shared.store.store import IDENTITY_FILE, NAME, Store, sha256_of

FILES_AT_ONCE = 500
LARGE_SHARE = 0.2  # of a store: `analyze gc` asks before it removes more
CLOCKS_DIFFER = 60.0  # seconds by which the clocks of machines may differ


@dataclass(frozen=True)
class Unreferenced:
    """A file that no row refers to."""

    path: str  # relative to the store's root
    bytes: int
    wanted: float  # modification time, in seconds since 1970: when the file was last written or reused


@dataclass(frozen=True)
class Survey:
    """Files that no row refers to, and the number and size of all files of the store, with these.

    ``last_entry`` is when the database was last written, in seconds since 1970 (0 if never).
    """

    garbage: list[Unreferenced]
    files: int
    bytes: int
    last_entry: float

    @property
    def garbage_bytes(self) -> int:
        return sum(file.bytes for file in self.garbage)

    @property
    def is_large(self) -> bool:
        """Whether more than ``LARGE_SHARE`` of the files or bytes would be removed."""
        return len(self.garbage) > LARGE_SHARE * self.files or self.garbage_bytes > LARGE_SHARE * self.bytes

    @property
    def newer(self) -> int:
        """Number of these files that were written after the database's last entry: it may be an older backup."""
        return sum(file.wanted > self.last_entry + CLOCKS_DIFFER for file in self.garbage)


def find_garbage(database: Database, store: Store, seconds: float) -> list[Unreferenced]:
    """Find files that no row refers to and that were not written or reused for ``seconds``."""
    return survey(database, store, seconds).garbage


def survey(database: Database, store: Store, seconds: float) -> Survey:
    """Find files that no row refers to and that were not written or reused for ``seconds``, and measure the store.

    Files written or reused since the oldest running attempt began are skipped too, because a worker writes its
    files before its rows. Files are listed before the rows are read, so that a file written in between is not
    listed.
    """
    before = min(time.time() - seconds, _oldest_attempt(database))
    size = _Size()
    files = [file for file in size.measured(_files(store.root)) if file.wanted < before]
    prefixes = np.array([_hash_prefix(file.path) for file in files], np.uint64)
    event_files = [file for file in size.measured(_event_files(store.root)) if file.wanted < before]
    leftovers = [file for file in size.measured(_leftovers(store.root)) if file.wanted < before]
    with database.read() as session:
        referenced = np.isin(prefixes, _hash_prefixes(referenced_artifacts(session)))
        jobs = set(session.scalars(select(Job.id)))
        last_entry = _last_entry(session)
    garbage = [file for file, is_referenced in zip(files, referenced.tolist(), strict=True) if not is_referenced]
    garbage += [file for file in event_files if _job_of_event_file(file.path) not in jobs]
    found = sorted([*garbage, *leftovers], key=lambda file: file.path)
    return Survey(found, size.files, size.bytes, last_entry)


@dataclass
class _Size:
    """Number and size of files."""

    files: int = 0
    bytes: int = 0

    def measured(self, files: Iterable[Unreferenced]) -> Iterator[Unreferenced]:
        """Iterate over files and add them up."""
        for file in files:
            self.files += 1
            self.bytes += file.bytes
            yield file


def _last_entry(session: Session) -> float:
    """Return when the newest job, event or artifact was written, in seconds since 1970, or 0."""
    newest = [
        session.scalar(select(Job.created_at).order_by(Job.id.desc()).limit(1)),
        session.scalar(select(Event.at).order_by(Event.id.desc()).limit(1)),
        session.scalar(select(func.max(Artifact.created_at)).where(Artifact.path != IDENTITY_FILE)),
    ]
    return max((time.timestamp() for time in newest if time is not None), default=0.0)


def remove_garbage(database: Database, store: Store, garbage: Sequence[Unreferenced]) -> list[Unreferenced]:
    """Remove files and their rows in ``artifacts``, and return the removed files.

    A file that was reused since it was listed is kept. A worker that writes the same file at the same time either
    finds it and updates its modification time, or finds it removed and writes it again. Rows are deleted first: a
    worker that inserts the same row waits for this transaction, and its new row is not affected.
    """
    removed = []
    for start in range(0, len(garbage), FILES_AT_ONCE):
        store.require_present()
        batch = garbage[start : start + FILES_AT_ONCE]
        with database.write() as session:
            paths = Artifact.path.in_([file.path for file in batch])
            _lock_jobs(session, paths)
            in_order = select(Artifact.__table__).where(paths).order_by(Artifact.path).with_for_update()
            rows = [dict(row) for row in session.execute(in_order).mappings()]
            session.execute(delete(Artifact).where(Artifact.path.in_([row["path"] for row in rows])))
            removed_now = [file for file in batch if _remove(store.root, file)]
            kept = {file.path for file in batch} - {file.path for file in removed_now}
            if kept_rows := [row for row in rows if row["path"] in kept]:
                session.execute(insert(Artifact), kept_rows)
            removed_bytes: Counter[int] = Counter()
            for row in rows:
                if row["job_id"] is not None and row["path"] not in kept:
                    removed_bytes[row["job_id"]] -= row["bytes"]
            add_stored_bytes(session, removed_bytes)
        removed += removed_now
    return removed


def _lock_jobs(session: Session, paths: ColumnElement[bool]) -> None:
    """Lock the jobs that wrote these files, whose sizes change. Workers also lock a job before its files."""
    writers = select(Artifact.job_id).where(paths)
    session.execute(select(Job.id).where(Job.id.in_(writers)).order_by(Job.id).with_for_update(key_share=True))


def _oldest_attempt(database: Database) -> float:
    """Return when the oldest running attempt began, in seconds since 1970, or infinity."""
    with database.read() as session:
        began = session.scalar(select(func.min(Shard.started_at)).where(Shard.state == ShardState.RUNNING))
    return began.timestamp() if began else math.inf


def _remove(root: Path, garbage: Unreferenced) -> bool:
    """Remove a file unless it was reused since it was listed; return whether it was removed.

    The file is renamed before the last check of its modification time, so that no worker can reuse it in between.
    """
    file, renamed = root / garbage.path, root / "incoming" / f"gc-{secrets.token_hex(8)}"
    try:
        if file.stat().st_mtime != garbage.wanted:
            return False
        renamed.parent.mkdir(exist_ok=True)
        file.rename(renamed)
        if renamed.stat().st_mtime != garbage.wanted:
            renamed.rename(file)
            return False
        renamed.unlink()
        if garbage.path.startswith("tensorboard/"):  # other folders are shared by many files
            _remove_if_empty(file.parent)
    except FileNotFoundError:  # another `analyze gc` removed it
        return False
    return True


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _files(root: Path) -> Iterator[Unreferenced]:
    """Iterate over the files whose names are those of artifacts."""
    for folder in sorted(root.glob("[0-9a-f][0-9a-f]")):
        for file in folder.iterdir():
            if NAME.fullmatch(f"{folder.name}/{file.name}"):
                yield from _describe(root, file)


def _event_files(root: Path) -> Iterator[Unreferenced]:
    """Iterate over the TensorBoard event files of training runs, ``tensorboard/run-JOB/...``."""
    for file in root.glob("tensorboard/run-*/*"):
        if _job_of_event_file(str(file.relative_to(root))) is not None:
            yield from _describe(root, file)


def _job_of_event_file(path: str) -> int | None:
    number = path.split("/")[1].removeprefix("run-")
    return int(number) if number.isascii() and number.isdigit() else None


def _leftovers(root: Path) -> Iterator[Unreferenced]:
    """Iterate over unfinished files of writers, which may have been killed."""
    for file in root.glob("incoming/*"):
        yield from _describe(root, file)


def _describe(root: Path, file: Path) -> Iterator[Unreferenced]:
    try:
        status = file.stat()
    except FileNotFoundError:  # its writer has just renamed it
        return
    yield Unreferenced(str(file.relative_to(root)), status.st_size, status.st_mtime)


def _hash_prefixes(paths: Iterable[str]) -> np.ndarray:
    """Return the first 64 bits of each artifact's SHA-256, uint64.

    Tens of millions of them fit into memory. If two prefixes collide, a file of no use is kept.
    """
    return np.fromiter((_hash_prefix(path) for path in paths if NAME.fullmatch(path)), np.uint64)


def _hash_prefix(path: str) -> int:
    return int(sha256_of(path)[:16], 16)
