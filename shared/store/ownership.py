"""The identity of a store: which database it belongs to, and whether it is the one that all workers share.

The file ``store.json`` in the store's root holds the identity of its database, and one of the store itself. The
database in turn has a row for this file in the table ``artifacts``. The first program that writes creates both.
Programs that write or remove files compare them, so that a database never removes the files of another one, and so
that a folder without its mount is not taken for the store.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import socket
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import delete, exists, select

from shared.database.base import utc_now
from shared.database.connection import Database, insert_missing
from shared.database.identity import identity
from shared.errors import StoreFull, StoreNotKnown, StoreNotWritable, StoreOfAnotherDatabase
from shared.jobs.tables import Artifact
from shared.store.references import referenced_artifacts
from shared.store.store import FULL, IDENTITY_FILE, NAME, Store, fsync_folder, read_identity_file, unavailable

SAMPLE = 256  # files of a store that are looked up in the database, if the store has no identity file


@dataclass(frozen=True)
class StoreStatus:
    """A store that the database may use. ``content``: of its identity file, None if there is none yet."""

    content: bytes | None
    registered: bool  # whether the database has the identity file's row


def open_store(database: Database, root: Path) -> Store:
    """Return the store for writing. At its first use it becomes the database's store.

    Raises
    ------
    StoreOfAnotherDatabase, StoreNotKnown, StoreUnavailable, StoreFull, StoreNotWritable
    """
    status = check_store(database, root)
    if status.content is None:
        _create(root, _content(database))
        status = check_store(database, root)  # another program may have created it
    if not status.registered:
        _register(database, status.content or b"")
        status = check_store(database, root)  # a program on another machine may have registered another folder
    return Store(root, status.content)


def check_store(database: Database, root: Path) -> StoreStatus:
    """Check that a store belongs to the database and is the one that the database's other users have.

    Raises
    ------
    StoreOfAnotherDatabase
        its identity file names another database.
    StoreNotKnown
        it has no identity file, and most of its files are unknown to the database.
    StoreUnavailable
        it is missing, can't be read, or is another folder than the one that the database's files are in.
    """
    with database.read() as session:
        own = identity(session)
        registered = session.scalar(select(Artifact.sha256).where(Artifact.path == IDENTITY_FILE))
    content = read_identity_file(root)
    if content == b"":  # another program is creating it, on a file system without hard links
        time.sleep(1)
        content = read_identity_file(root)
    if content is None:
        _check_first_use(database, root, own, registered is not None)
        return StoreStatus(None, registered is not None)
    owner = owner_of(root, content)
    if owner != own:
        raise StoreOfAnotherDatabase(root=root, owner=owner, identity=own, url=database, host=socket.gethostname())
    if registered not in (None, hashlib.sha256(content).hexdigest()):
        raise unavailable(
            root, "it is not the folder that the database's files are in, but another one with a store of its own"
        )
    return StoreStatus(content, registered is not None)


def owner_of(root: Path, content: bytes) -> str:
    """Return the identity of the database that a store's identity file names.

    Raises
    ------
    StoreUnavailable
        the content is damaged.
    """
    try:
        return str(uuid.UUID(json.loads(content)["database"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise unavailable(root, f"{IDENTITY_FILE} in it is damaged") from None


def _check_first_use(database: Database, root: Path, own: str, registered: bool) -> None:
    """Check that a store without an identity file can become the database's."""
    if registered:
        found = f"has no {IDENTITY_FILE}" if root.is_dir() else "does not exist"
        raise unavailable(root, f"the folder {found}, so it is not the one that the database's files are in")
    sample, known = sample_of_files(database, root)
    if not sample:
        with database.read() as session:
            if session.scalar(select(exists().where(Artifact.path != IDENTITY_FILE))):
                raise unavailable(root, "it has no files, but the database knows some")
    elif 2 * known < sample:
        raise StoreNotKnown(
            root=root, identity=own, url=database, sample=sample, known=known, host=socket.gethostname()
        )


def sample_of_files(database: Database, root: Path) -> tuple[int, int]:
    """Count the files in a sample of the store's, and those among them that the database knows."""
    try:
        sample = set(itertools.islice(_some_files(root), SAMPLE))
    except OSError as error:
        raise unavailable(root, error.strerror) from error
    with database.read() as session:
        known = set(session.scalars(select(Artifact.path).where(Artifact.path.in_(sample))))
        if known != sample:  # weights that were submitted have no row in ``artifacts``
            known.update(path for path in referenced_artifacts(session) if path in sample)
    return len(sample), len(known)


def _some_files(root: Path) -> Iterator[str]:
    """Iterate over the paths of some artifacts of each folder."""
    folders = [folder for folder in root.glob("[0-9a-f][0-9a-f]") if folder.is_dir()]
    for folder in folders:
        paths = (f"{folder.name}/{file.name}" for file in folder.iterdir())
        yield from itertools.islice(filter(NAME.fullmatch, paths), 1 + SAMPLE // len(folders))


def adopt_store(database: Database, root: Path) -> None:
    """Make any folder the database's store, whatever it and the database were before.

    Raises
    ------
    StoreUnavailable, StoreFull, StoreNotWritable
    """
    content = _content(database)
    temporary = _written(root, content)
    try:
        temporary.replace(root / IDENTITY_FILE)
        fsync_folder(root)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreNotWritable(root=root, reason=error.strerror) from error
    with database.write() as session:
        session.execute(delete(Artifact).where(Artifact.path == IDENTITY_FILE))
        insert_missing(session, Artifact, [_row(content)])


def _content(database: Database) -> bytes:
    """Return the content of the identity file of a new store."""
    with database.read() as session:
        content = {"database": identity(session), "store": str(uuid.uuid4())}
    return f"{json.dumps(content)}\n".encode()


def _create(root: Path, content: bytes) -> None:
    """Create the identity file, unless another program does so first; its content is complete from the start."""
    temporary = _written(root, content)
    try:
        with suppress(FileExistsError):
            _link(temporary, root / IDENTITY_FILE)
        fsync_folder(root)
    except OSError as error:
        raise StoreNotWritable(root=root, reason=error.strerror) from error
    finally:
        temporary.unlink(missing_ok=True)


def _link(temporary: Path, target: Path) -> None:
    """Give a file a second name, which must not exist."""
    try:
        target.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        with target.open("xb") as file:
            file.write(temporary.read_bytes())
            file.flush()
            os.fsync(file.fileno())


def _written(root: Path, content: bytes) -> Path:
    """Write a temporary file, which `analyze gc` removes if this program is killed."""
    try:
        incoming = root / "incoming"
        incoming.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=incoming, delete=False) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raised = StoreFull if error.errno in FULL else StoreNotWritable
        raise raised(root=root, reason=error.strerror) from error
    return Path(file.name)


def _register(database: Database, content: bytes) -> None:
    """Insert the identity file's row, unless another program has registered a store."""
    with database.write() as session:
        insert_missing(session, Artifact, [_row(content)])


def _row(content: bytes) -> dict[str, object]:
    sha256 = hashlib.sha256(content).hexdigest()
    return {
        "path": IDENTITY_FILE, "sha256": sha256, "bytes": len(content), "job_id": None, "created_at": utc_now(),
    }  # fmt: skip
