"""Unpacking archives from outside: every member is looked at before the first one is written."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO

from shared.errors import UnsafeArchive

MAX_UNPACKED_BYTES = 8 * 2**30  # four times the largest archive of VOC
MAX_MEMBERS = 200_000  # five times as many as the largest archive of VOC has
LONGEST_NAME = 1000  # characters; no name in those data sets has 100
MAX_READ_BYTES = 2**20  # of a tar at once; files are copied in smaller pieces
CHUNK_BYTES = 2**18
GZIP_MAGIC = b"\x1f\x8b"


class _Unsafe(Exception):
    """The reason why an archive is refused."""


def extract(archive: Path, root: Path, folder: str, inner: str | None = None) -> None:
    """Unpack an archive to ``root/folder``, after a look at all of its members.

    Parameters
    ----------
    archive
        a tar file, plain or compressed by gzip, or a zip file that holds a compressed one.
    root
        folder to fill; it is made if need be.
    folder
        the one folder that the tar file holds.
    inner
        the name of the tar file, if the archive is a zip file.

    Raises
    ------
    UnsafeArchive
        a member is no file or folder, or lies outside ``folder``; there is too much; or the archive is damaged.
        Nothing was unpacked.
    OSError
        the disk is full, or can't be written. What was unpacked is removed.
    """
    root.mkdir(parents=True, exist_ok=True)
    try:
        # In the same folder, so that moving is renaming: a full disk is met before, not half-way.
        with TemporaryDirectory(prefix=".unpacking-", dir=root) as scratch:
            unpacked = Path(scratch) / "unpacked"
            _extract_tar(_plain_tar(archive, inner, Path(scratch) / "plain.tar"), unpacked, folder)
            _move(unpacked / folder, root / folder)
    except _Unsafe as error:
        raise UnsafeArchive(path=archive, reason=str(error)) from error
    except tarfile.TarError as error:
        raise UnsafeArchive(path=archive, reason=f"it is damaged: {error}") from error


def _plain_tar(archive: Path, inner: str | None, target: Path) -> Path:
    """The tar file without what it is packed in: ``archive`` itself, or ``target``."""
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
    except Exception as error:  # zipfile and the decompressors raise nearly everything on a broken file
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
        raise _Unsafe(f"it does not hold one {inner}")


def _extract_tar(archive: Path, target: Path, folder: str) -> None:
    with _SmallReads(archive) as file, tarfile.open(fileobj=file, mode="r:") as tar:
        members = _checked_members(tar, folder)
        # tarfile takes a broken header for the end of the archive; zeros are a true end.
        file.seek(tar.offset)
        if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
            raise _Unsafe("it is damaged or cut off")
        # Python 3.11.0 to 3.11.3 have no filters: there the check above, and the modes that it set, stand alone.
        safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        tar.extractall(target, members, **safe)  # type: ignore[arg-type]  # noqa: S202 - checked


class _SmallReads(io.FileIO):
    """A tar's headers may claim any length, and tarfile reads each into memory whole."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= MAX_READ_BYTES:
            raise _Unsafe(f"it is damaged: a header of {size} bytes")
        return super().read(size)


def _checked_members(tar: tarfile.TarFile, folder: str) -> list[tarfile.TarInfo]:
    """All members. The check is our own: the filters of older Pythons can be got round."""
    members: list[tarfile.TarInfo] = []
    size = 0
    for count, member in enumerate(tar, start=1):
        size += member.size
        wanted = not _is_clutter(member)
        if wanted and (reason := _why_unsafe(member, folder)):
            raise _Unsafe(f"its member {member.name[:200]!r} {reason}")
        if count > MAX_MEMBERS:
            raise _too_many()
        if size > MAX_UNPACKED_BYTES:
            raise _too_large()
        if wanted:
            member.mode = 0o700 if member.isdir() else (member.mode | 0o600) & 0o700  # the owner's alone
            members.append(member)
    if not members:
        raise _Unsafe("it is empty")
    return members


def _is_clutter(member: tarfile.TarInfo) -> bool:
    """What macOS adds to an archive, and the archive's own folder: not unpacked."""
    path = PurePosixPath(member.name)
    of_macos = member.isreg() and path.name.startswith("._") and member.size >= 0
    return of_macos or (member.isdir() and path == PurePosixPath())


def _why_unsafe(member: tarfile.TarInfo, folder: str) -> str | None:
    path = PurePosixPath(member.name)
    if not (member.isreg() or member.isdir()):
        return "is neither a file nor a folder"
    if reason := _why_outside(path):
        return reason
    if path.parts[:1] != (folder,) or (len(path.parts) == 1 and not member.isdir()):
        return f"is not in the folder {folder}"
    if member.size < 0:
        return "has a negative size"
    return None


def _why_outside(path: PurePosixPath) -> str | None:
    if len(str(path)) > LONGEST_NAME:  # thousands of folders in one another, too
        return f"has a name of more than {LONGEST_NAME} characters"
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
    """Move a file or folder into place; a folder that is there already is filled up."""
    if not (source.is_dir() and target.is_dir()):
        source.replace(target)
        return
    # The lists of VOC's splits last: without its lists, an archive half moved can't be taken for whole.
    for child in sorted(source.iterdir(), key=lambda child: child.name == "ImageSets"):
        _move(child, target / child.name)
