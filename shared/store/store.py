"""The artifact store: files named by the SHA-256 of their content.

Identical content is stored once. A file gets its final name only when it is complete, so that readers never see a
partial file.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from shared.errors import ArtifactDamaged, ArtifactMissing, StoreFull, StoreNotWritable, StoreUnavailable

IDENTITY_FILE = "store.json"  # in the root; see ``shared.store.ownership``
SYNCS_AT_ONCE = 16  # of folders: on a network file system, each waits for the server
LARGEST_IDENTITY = 4096  # bytes; it has about 100
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Errors of a network or a device, which say nothing about the permissions of the store.
DISCONNECTED = (
    *(errno.EIO, errno.ENXIO, errno.ENODEV, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN),
    *(errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH, errno.ESHUTDOWN, errno.EREMOTEIO),
)
NAME = re.compile(r"[0-9a-f]{2}/[0-9a-f]{64}\.[a-z0-9]+")


def sha256_of(path: str) -> str:
    """Return the SHA-256 in an artifact's path, in hexadecimal digits."""
    return path[3:67]


def sha256_of_file(file: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal digits."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


_verified: set[tuple[Path, int, int, int]] = set()  # by this process: inode, size, time of the last change


@dataclass(frozen=True)
class StoredFile:
    """A file that was written to the store."""

    path: str  # relative to the store's root
    sha256: str
    bytes: int


class Store:
    """Artifacts below ``root``, in folders named by the first two digits of their SHA-256.

    Programs that write open the store with ``shared.store.ownership.open_store``, which passes ``identity``, the
    content of the identity file. Files are then written and removed only while the root has this file: another
    folder is in its place if the store is not mounted. A store without ``identity`` is for reading.
    """

    def __init__(self, root: Path, identity: bytes | None = None) -> None:
        self.root = root
        self.identity = identity

    def require_present(self) -> None:
        """Check that the store was not unmounted or replaced since it was opened.

        Raises
        ------
        StoreUnavailable
        """
        if self.identity is None:
            return
        if (found := read_identity_file(self.root)) != self.identity:
            missing = f"{IDENTITY_FILE} is no longer in it, so it was probably unmounted"
            raise unavailable(self.root, missing if found is None else f"{IDENTITY_FILE} in it was replaced")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn errors of the file system, while files of an opened store are read, into ``StoreUnavailable``."""
        try:
            yield
        except OSError as error:
            if self.identity is None:
                raise
            self.require_present()
            raise unavailable(
                self.root, f"{error.filename or 'a file'} can't be read ({error.strerror})"
            ) from error

    def put(self, content: bytes, suffix: str) -> StoredFile:
        """Store ``content`` as a file with this suffix (``.png``).

        Raises
        ------
        StoreFull, StoreNotWritable, StoreUnavailable
        """
        return self.write(suffix, lambda file: file.write(content))

    def write(self, suffix: str, writer: Callable[[IO[bytes]], object]) -> StoredFile:
        """Store what ``writer`` writes: into a temporary file, which is fsynced and renamed.

        Raises
        ------
        StoreFull, StoreNotWritable, StoreUnavailable
        """
        with self._writing(), self._incoming() as file:
            writer(file)
            file.flush()
            os.fsync(file.fileno())
            size = os.fstat(file.fileno()).st_size
            sha256 = sha256_of_file(Path(file.name))
            path = f"{sha256[:2]}/{sha256}{suffix}"
            self._place(Path(file.name), self.root / path)
        return StoredFile(path, sha256, size)

    @contextmanager
    def temporary(self, writer: Callable[[IO[bytes]], object]) -> Iterator[Path]:
        """Return the path of a file in the store with what ``writer`` writes. It is removed at the end of the
        block; that of a killed process is removed by `analyze gc`.

        Raises
        ------
        StoreFull, StoreNotWritable, StoreUnavailable
        """
        with self._incoming() as file:
            with self._writing():
                writer(file)
                file.flush()
            yield Path(file.name)

    @contextmanager
    def _incoming(self) -> Iterator[IO[bytes]]:
        """Open a new file with a temporary name, which is removed at the end of the block if it still has it."""
        with self._writing():
            incoming = self.root / "incoming"
            incoming.mkdir(parents=True, exist_ok=True)
            file = tempfile.NamedTemporaryFile(dir=incoming, delete=False)  # noqa: SIM115 - closed below
        try:
            with file:
                yield file
        finally:
            with suppress(OSError):
                Path(file.name).unlink(missing_ok=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn errors of the file system, while a file is written, into those of the store."""
        self.require_present()
        try:
            yield
        except OSError as error:
            if error.errno in FULL:
                raise StoreFull(root=self.root, reason=error.strerror) from error
            self.require_present()
            if self.identity is not None and error.errno in DISCONNECTED:
                raise unavailable(self.root, error.strerror) from error
            raise StoreNotWritable(root=self.root, reason=error.strerror or error) from error

    def _place(self, temporary: Path, target: Path) -> None:
        if _has_its_name(target):
            with suppress(FileNotFoundError):  # removed in the meantime
                _touch(target)
                return
        target.parent.mkdir(exist_ok=True)
        temporary.rename(target)

    def make_durable(self, paths: Iterable[str]) -> None:
        """Check that these files exist, update their modification times, so that `analyze gc` does not remove
        them, and fsync their folders, so that their names survive a power failure.

        Call it before a row refers to the files, once for many files: it fsyncs every folder.

        Raises
        ------
        ArtifactMissing
            a file was removed after it was written.
        StoreUnavailable
        """
        folders = set()
        for path in paths:
            file = self.locate(path)
            with self._explained():
                try:
                    _touch(file)
                except FileNotFoundError:
                    raise ArtifactMissing(path=path, root=self.root) from None
            folders.add(file.parent)
        if folders:
            with self._explained(), ThreadPoolExecutor(SYNCS_AT_ONCE) as syncs:
                list(syncs.map(fsync_folder, sorted(folders | {self.root})))

    def locate(self, path: str) -> Path:
        """Return the file of an artifact's path.

        Raises
        ------
        ArtifactMissing
            the file does not exist, or ``path`` does not have the form of an artifact's path.
        StoreUnavailable
        """
        file = self.root / path
        with self._explained():
            found = NAME.fullmatch(path) and file.is_file()
        if not found:
            self.require_present()
            raise ArtifactMissing(path=path, root=self.root)
        return file

    def verified(self, path: str) -> Path:
        """Return the file of an artifact's path after checking its content against the SHA-256 in its name. Use it
        for files that results are computed from.

        Raises
        ------
        ArtifactMissing, ArtifactDamaged, StoreUnavailable
        """
        file = self.locate(path)
        with self._explained():
            intact = _has_its_name(file)
        if not intact:
            self.require_present()
            raise ArtifactDamaged(path=path, root=self.root)
        return file

    def verified_once(self, path: str) -> Path:
        """As ``verified``; a file that this process has checked is read again only if it has changed.

        Raises
        ------
        ArtifactMissing, ArtifactDamaged, StoreUnavailable
        """
        file = self.locate(path)
        with self._explained():
            status = file.stat()
        version = file, status.st_ino, status.st_size, status.st_mtime_ns
        if version not in _verified:
            self.verified(path)
            _verified.add(version)
        return file

    def remove(self, path: str) -> None:
        """Remove an artifact; the caller ensures that no row refers to it. Other paths are ignored.

        Raises
        ------
        StoreUnavailable
        """
        self.require_present()
        if NAME.fullmatch(path):
            (self.root / path).unlink(missing_ok=True)


def unavailable(root: Path, reason: object) -> StoreUnavailable:
    """Return the error for a store that this machine does not have."""
    return StoreUnavailable(root=root, host=socket.gethostname(), reason=reason)


def read_identity_file(root: Path) -> bytes | None:
    """Return the content of a store's identity file, or None if there is none. Of a larger file, which is another
    one, it is the beginning.

    Raises
    ------
    StoreUnavailable
        it can't be read, or is not a regular file.
    """
    path = root / IDENTITY_FILE
    try:
        if not path.is_file() and path.exists():  # reading a pipe or a device could block for ever
            raise unavailable(root, f"{IDENTITY_FILE} in it is not a regular file")
        with path.open("rb") as file:
            return file.read(LARGEST_IDENTITY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise unavailable(root, f"{IDENTITY_FILE} can't be read ({error.strerror})") from error


def _touch(file: Path) -> None:
    """Update the file's modification time, so that `analyze gc` does not remove it."""
    with suppress(PermissionError):  # the file belongs to another user
        os.utime(file)


def _has_its_name(file: Path) -> bool:
    """Return whether the file's content matches the SHA-256 in its name."""
    try:
        return sha256_of_file(file) == file.stem
    except FileNotFoundError:
        return False


def fsync_folder(folder: Path) -> None:
    """Make the names of a folder's files survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
