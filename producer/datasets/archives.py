"""Extraction of untrusted archives: every member is checked before the first one is written."""

from __future__ import annotations

import gzip
import stat
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO

from producer.tars import DamagedTar, Member, members
from shared.errors import UnsafeArchive

MAX_UNPACKED_BYTES = 8 * 2**30  # four times the largest archive of VOC
MAX_MEMBERS = 200_000  # five times as many as the largest archive of VOC has
LONGEST_NAME = 1000  # characters; no name in those data sets has 100
CHUNK_BYTES = 2**18
GZIP_MAGIC = b"\x1f\x8b"


class _Unsafe(Exception):
    """Reason for refusing an archive."""


def extract(archive: Path, root: Path, folder: str, inner: str | None = None) -> None:
    """Check all members of an archive, and unpack it to ``root/folder``.

    Parameters
    ----------
    archive
        A tar file, plain or compressed by gzip, or a zip file that holds a compressed one.
    root
        Folder to unpack to; it is created if it doesn't exist.
    folder
        The only top-level folder of the tar file.
    inner
        Name of the tar file, if the archive is a zip file.

    Raises
    ------
    UnsafeArchive
        A member is not a file or folder, or lies outside ``folder``; the archive is too large, or is damaged.
        Nothing was unpacked.
    OSError
        The disk is full or not writable. Files that were unpacked are removed.
    """
    root.mkdir(parents=True, exist_ok=True)
    try:
        # On the same file system, so that moving only renames: a full disk is noticed before anything is moved.
        with TemporaryDirectory(prefix=".unpacking-", dir=root) as scratch:
            unpacked = Path(scratch) / "unpacked"
            _extract_tar(_plain_tar(archive, inner, Path(scratch) / "plain.tar"), unpacked, folder)
            _move(unpacked / folder, root / folder)
    except _Unsafe as error:
        raise UnsafeArchive(path=archive, reason=str(error)) from error
    except DamagedTar as error:
        raise UnsafeArchive(path=archive, reason=f"it {error}") from error


def _plain_tar(archive: Path, inner: str | None, target: Path) -> Path:
    """Return the path of the uncompressed tar file: ``archive`` itself, or ``target``, which is written."""
    if inner is None:
        with archive.open("rb") as file:
            if file.read(len(GZIP_MAGIC)) != GZIP_MAGIC:
                return archive
    size = 0
    with target.open("wb") as tar:
        for chunk in _decompressed(archive, inner):
            size += len(chunk)
            if size > MAX_UNPACKED_BYTES:
                raise _too_large()
            tar.write(chunk)
    return target


def _decompressed(archive: Path, inner: str | None) -> Iterator[bytes]:
    try:
        with ExitStack() as stack:
            packed: IO[bytes]
            if inner is None:
                packed = stack.enter_context(archive.open("rb"))
            else:
                zipped = stack.enter_context(zipfile.ZipFile(archive))
                _check_zip(zipped, inner)
                packed = stack.enter_context(zipped.open(inner))
            source = stack.enter_context(gzip.GzipFile(fileobj=packed))
            while chunk := source.read(CHUNK_BYTES):
                yield chunk
    except _Unsafe:
        raise
    except Exception as error:  # zipfile and the decompressors raise almost any exception for a damaged file
        raise _Unsafe(f"it is damaged: {error}") from error


def _check_zip(zipped: zipfile.ZipFile, inner: str) -> None:
    members = zipped.infolist()
    if len(members) > MAX_MEMBERS:
        raise _too_many()
    if sum(member.file_size for member in members) > MAX_UNPACKED_BYTES:
        raise _too_large()
    for member in members:
        kind = stat.S_IFMT(member.external_attr >> 16)  # 0 where the archive was not made on Unix
        reason = _why_outside(PurePosixPath(member.filename))
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            reason = "is neither a file nor a folder"
        if reason:
            raise _Unsafe(f"its member {member.filename[:200]!r} {reason}")
    if [member.filename for member in members].count(inner) != 1:
        raise _Unsafe(f"it does not hold exactly one {inner}")


def _extract_tar(archive: Path, target: Path, folder: str) -> None:
    with archive.open("rb") as file:
        for member in _checked_members(file, folder):
            path = target / member.name
            try:
                (path if member.is_folder else path.parent).mkdir(parents=True, exist_ok=True)
                if member.is_file:
                    _write(member, file, path)
            except (FileExistsError, NotADirectoryError, IsADirectoryError):
                raise _Unsafe(f"its member {member.name[:200]!r} is a file and a folder") from None


def _write(member: Member, file: IO[bytes], path: Path) -> None:
    with path.open("wb") as content:
        for chunk in member.chunks(file):
            content.write(chunk)
    path.chmod((member.mode | 0o600) & 0o700)  # no access for other users


def _checked_members(file: IO[bytes], folder: str) -> list[Member]:
    """Check all members, and return those to unpack."""
    unpacked: list[Member] = []
    size = 0
    for count, member in enumerate(members(file), start=1):
        size += member.size
        is_unpacked = not _is_ignored(member)
        if is_unpacked and (reason := _why_unsafe(member, folder)):
            raise _Unsafe(f"its member {member.name[:200]!r} {reason}")
        if count > MAX_MEMBERS:
            raise _too_many()
        if size > MAX_UNPACKED_BYTES:
            raise _too_large()
        if is_unpacked:
            unpacked.append(member)
    if not unpacked:
        raise _Unsafe("it is empty")
    return unpacked


def _is_ignored(member: Member) -> bool:
    """Return whether a member is a metadata file of macOS or the archive's root folder."""
    path = PurePosixPath(member.name)
    of_macos = member.is_file and path.name.startswith("._")
    return of_macos or (member.is_folder and path == PurePosixPath())


def _why_unsafe(member: Member, folder: str) -> str | None:
    path = PurePosixPath(member.name)
    if not (member.is_file or member.is_folder):
        return "is neither a file nor a folder"
    if reason := _why_outside(path):
        return reason
    if path.parts[:1] != (folder,) or (len(path.parts) == 1 and not member.is_folder):
        return f"is not in the folder {folder}"
    return None


def _why_outside(path: PurePosixPath) -> str | None:
    if len(str(path)) > LONGEST_NAME:  # also limits the depth of folders
        return f"has a name of more than {LONGEST_NAME} characters"
    if "\0" in str(path):
        return "has a name with NUL"
    if path.is_absolute():
        return "is an absolute path"
    if ".." in path.parts:
        return "leads out of its folder"
    return None


def _too_many() -> _Unsafe:
    return _Unsafe(f"it has more than {MAX_MEMBERS} members")


def _too_large() -> _Unsafe:
    return _Unsafe(f"it unpacks to more than {MAX_UNPACKED_BYTES} bytes")


def _move(source: Path, target: Path) -> None:
    """Move a file or folder into place, and merge it into an existing folder."""
    if not (source.is_dir() and target.is_dir()):
        source.replace(target)
        return
    # VOC's split lists come last, so that an archive that was moved in part isn't mistaken for a complete one.
    for child in sorted(source.iterdir(), key=lambda child: child.name == "ImageSets"):
        _move(child, target / child.name)
