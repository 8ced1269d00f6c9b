"""The artifact store: files named by the SHA-256 of their content.

The same content written twice is one file, a file that has its name is whole, and nobody ever sees half of one.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from shared.errors import ArtifactDamaged, ArtifactMissing, StoreFull, StoreNotWritable

NAME = re.compile(r"[0-9a-f]{2}/[0-9a-f]{64}\.[a-z0-9]+")


def sha256_of(path: str) -> str:
    """The SHA-256 that an artifact's path stands for, in hexadecimal digits."""
    return path[3:67]


def sha256_of_file(file: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal digits."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@dataclass(frozen=True)
class StoredFile:
    """What the store says of a file it took."""

    path: str  # relative to the store's root
    sha256: str
    bytes: int


class Store:
    """Files below ``root``, in folders of the first two digits of their name."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, content: bytes, suffix: str) -> StoredFile:
        """Keep ``content`` as a file ending in ``suffix`` (``.png``).

        Raises
        ------
        StoreFull, StoreNotWritable
        """
        return self.write(suffix, lambda file: file.write(content))

    def write(self, suffix: str, writer: Callable[[IO[bytes]], object]) -> StoredFile:
        """Keep what ``writer`` writes: to a temporary file, fsync, then renamed to its name.

        Raises
        ------
        StoreFull, StoreNotWritable
        """
        temporary = None
        try:
            incoming = self.root / "incoming"
            incoming.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=incoming, delete=False) as file:
                temporary = Path(file.name)
                writer(file)
                file.flush()
                os.fsync(file.fileno())
                size = os.fstat(file.fileno()).st_size
            sha256 = sha256_of_file(temporary)
            path = f"{sha256[:2]}/{sha256}{suffix}"
            self._place(temporary, self.root / path)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise StoreFull(root=self.root, reason=error.strerror) from error
            raise StoreNotWritable(root=self.root, reason=error.strerror or error) from error
        finally:
            if temporary is not None:
                temporary.unlink(missing_ok=True)
        return StoredFile(path, sha256, size)

    def _place(self, temporary: Path, target: Path) -> None:
        if _has_its_name(target):
            with suppress(FileNotFoundError):  # just removed
                _touch(target)
                return
        target.parent.mkdir(exist_ok=True)
        temporary.rename(target)

    def settle(self, paths: Iterable[str]) -> None:
        """See that these files are there, have `analyze gc` spare them, and see that their names, too, outlive a
        power cut. Call it before a row refers to them: once for many files, since it costs a write to the disk for
        every folder.

        Raises
        ------
        ArtifactMissing
            somebody removed one since it was written.
        """
        folders = set()
        for path in paths:
            file = self.locate(path)
            try:
                _touch(file)
            except FileNotFoundError:
                raise ArtifactMissing(path=path, root=self.root) from None
            folders.add(file.parent)
        for folder in sorted(folders | {self.root} if folders else folders):
            _fsync_folder(folder)

    def locate(self, path: str) -> Path:
        """The file of an artifact's path.

        Raises
        ------
        ArtifactMissing
            it isn't there, or the path is none of an artifact.
        """
        file = self.root / path
        if not NAME.fullmatch(path) or not file.is_file():
            raise ArtifactMissing(path=path, root=self.root)
        return file

    def verified(self, path: str) -> Path:
        """The file of an artifact's path, whose content is still what its name says: for what a result is made of.

        Raises
        ------
        ArtifactMissing, ArtifactDamaged
        """
        file = self.locate(path)
        if not _has_its_name(file):
            raise ArtifactDamaged(path=path, root=self.root)
        return file

    def remove(self, path: str) -> None:
        """Remove an artifact that nothing refers to any more."""
        if NAME.fullmatch(path):
            (self.root / path).unlink(missing_ok=True)


def _touch(file: Path) -> None:
    """It is wanted again: `analyze gc` spares what was wanted a short time ago."""
    with suppress(PermissionError):  # somebody else's
        os.utime(file)


def _has_its_name(file: Path) -> bool:
    """Whether the file's content is what its name says."""
    try:
        return sha256_of_file(file) == file.stem
    except FileNotFoundError:
        return False


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
