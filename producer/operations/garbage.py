"""Files of the artifact store that nothing refers to: found, and removed on request.

Dead attempts leave them, and training runs that were killed between an epoch's end and the removal of the state
before.
"""

from __future__ import annotations

import contextlib
import math
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import delete, func, insert, select

from shared.database.connection import Database
from shared.jobs.tables import Artifact, Job, Shard, ShardState
from shared.store.references import referenced_artifacts
from shared.store.store import NAME, Store, sha256_of

FILES_AT_ONCE = 500


@dataclass(frozen=True)
class Unreferenced:
    """A file that nothing refers to, last written or wanted at ``wanted`` (seconds since 1970)."""

    path: str  # relative to the store's root
    bytes: int
    wanted: float


def find_garbage(database: Database, store: Store, seconds: float) -> list[Unreferenced]:
    """Files that no row refers to and nobody wrote or wanted for so many seconds, nor since the oldest attempt
    under way began: a worker writes its files first and its rows later.

    Files are listed before rows are read: what is young then is spared, whatever becomes of it.
    """
    before = min(time.time() - seconds, _oldest_attempt(database))
    files = [file for file in _files(store.root) if file.wanted < before]
    numbers = np.array([_number(file.path) for file in files], np.uint64)
    events = [file for file in _event_files(store.root) if file.wanted < before]
    with database.read() as session:
        named = np.isin(numbers, _numbers(referenced_artifacts(session)))
        jobs = set(session.scalars(select(Job.id)))
    garbage = [file for file, is_named in zip(files, named.tolist(), strict=True) if not is_named]
    garbage += [file for file in events if _run_of(file.path) not in jobs]
    return sorted([*garbage, *_leftovers(store.root, before)], key=lambda file: file.path)


def remove_garbage(database: Database, store: Store, garbage: Sequence[Unreferenced]) -> list[Unreferenced]:
    """Remove these files, and their rows in ``artifacts``; returns what was removed.

    A file that was wanted meanwhile is spared. Whoever writes the same file now finds it, and touches it; or finds
    it gone, and writes it again. Rows go first: whoever inserts the same one now waits for this transaction, and
    what is inserted anew is nobody's business here.
    """
    removed = []
    for start in range(0, len(garbage), FILES_AT_ONCE):
        some = garbage[start : start + FILES_AT_ONCE]
        with database.write() as session:
            paths = Artifact.path.in_([file.path for file in some])
            in_order = select(Artifact.__table__).where(paths).order_by(Artifact.path).with_for_update()
            rows = [dict(row) for row in session.execute(in_order).mappings()]
            session.execute(delete(Artifact).where(Artifact.path.in_([row["path"] for row in rows])))
            gone = [file for file in some if _remove(store.root, file)]
            spared = {file.path for file in some} - {file.path for file in gone}
            if back := [row for row in rows if row["path"] in spared]:
                session.execute(insert(Artifact), back)
        removed += gone
    return removed


def _oldest_attempt(database: Database) -> float:
    """When the oldest attempt under way began, in seconds since 1970; infinity: there is none."""
    with database.read() as session:
        began = session.scalar(select(func.min(Shard.started_at)).where(Shard.state == ShardState.RUNNING))
    return began.timestamp() if began else math.inf


def _remove(root: Path, unwanted: Unreferenced) -> bool:
    """Take the file out of the way first, and look again: it may have been wanted since we looked."""
    file, aside = root / unwanted.path, root / "incoming" / f"gc-{secrets.token_hex(8)}"
    try:
        if file.stat().st_mtime != unwanted.wanted:
            return False
        aside.parent.mkdir(exist_ok=True)
        file.rename(aside)
        if aside.stat().st_mtime != unwanted.wanted:
            aside.rename(file)
            return False
        aside.unlink()
        if unwanted.path.startswith("tensorboard/"):  # the others' folders are shared by many files
            _remove_if_empty(file.parent)
    except FileNotFoundError:  # another one removes them, too
        return False
    return True


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _files(root: Path) -> Iterator[Unreferenced]:
    """The files that have an artifact's name."""
    for folder in sorted(root.glob("[0-9a-f][0-9a-f]")):
        for file in folder.iterdir():
            if NAME.fullmatch(f"{folder.name}/{file.name}"):
                yield from _described(root, file)


def _event_files(root: Path) -> Iterator[Unreferenced]:
    """TensorBoard's files of training runs: ``tensorboard/run-JOB/...``."""
    for file in root.glob("tensorboard/run-*/*"):
        if _run_of(str(file.relative_to(root))) is not None:
            yield from _described(root, file)


def _run_of(path: str) -> int | None:
    number = path.split("/")[1].removeprefix("run-")
    return int(number) if number.isascii() and number.isdigit() else None


def _leftovers(root: Path, before: float) -> Iterator[Unreferenced]:
    """What writers that were killed have begun."""
    for file in root.glob("incoming/*"):
        yield from (found for found in _described(root, file) if found.wanted < before)


def _described(root: Path, file: Path) -> Iterator[Unreferenced]:
    try:
        found = file.stat()
    except FileNotFoundError:  # a writer was just done with it
        return
    yield Unreferenced(str(file.relative_to(root)), found.st_size, found.st_mtime)


def _numbers(paths: Iterable[str]) -> np.ndarray:
    """The first 64 bits of each file's SHA-256, for which tens of millions fit into memory: should two be alike, a
    file too many is spared."""
    return np.fromiter((_number(path) for path in paths if NAME.fullmatch(path)), np.uint64)


def _number(path: str) -> int:
    return int(sha256_of(path)[:16], 16)
