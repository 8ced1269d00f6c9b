"""PASCAL VOC from its own server: fetched, checked against its MD5, and unpacked only if that is safe.

An archive counts as unpacked when its marker is there: a file in ``VOCdevkit``, written last.
"""

from __future__ import annotations

import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import pooch
from filelock import FileLock

from shared.errors import DownloadFailed, UnsafeArchive

if TYPE_CHECKING:
    from requests import Response

TOP_FOLDER = "VOCdevkit"
MAX_UNPACKED_BYTES = 8 * 2**30  # four times the largest archive of VOC
MAX_MEMBERS = 200_000  # five times as many as the largest archive of VOC has
CHUNK_BYTES = 2**18  # pooch's own 1 KiB makes two million small writes
TIMEOUT_SECONDS = 60  # of silence: the server is slow at times


@dataclass(frozen=True)
class Source:
    """Where an archive is, what it is called, and the MD5 of its content as hexadecimal digits."""

    url: str
    filename: str
    md5: str


# The same as torchvision.datasets.voc.DATASET_YEAR_DICT, which can't be imported here: it needs torch.
VOC_SOURCES: dict[str, Source] = {
    "2007": Source(
        "https://thor.robots.ox.ac.uk/pascal/VOC/voc2007/VOCtrainval_06-Nov-2007.tar",
        "VOCtrainval_06-Nov-2007.tar",
        "c52e279531787c972589f7e41ab4ae64",
    ),
    "2007-test": Source(
        "https://thor.robots.ox.ac.uk/pascal/VOC/voc2007/VOCtest_06-Nov-2007.tar",
        "VOCtest_06-Nov-2007.tar",
        "b6e924de25625d8de591ea690078ad9f",
    ),
    "2012": Source(
        "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
        "VOCtrainval_11-May-2012.tar",
        "6cd6e144f989b92b3379bac3b3de84fd",
    ),
}


def download_voc(
    root: Path, names: Sequence[str], sources: Mapping[str, Source] = VOC_SOURCES, progress: bool = True
) -> None:
    """Have ``root/VOCdevkit`` hold the content of some archives; one that it holds is not fetched again.

    Parameters
    ----------
    root
        folder to fill; it is made if need be, and takes up to twice an archive's size meanwhile.
    names
        keys of ``sources``.
    progress
        show a bar on stderr.

    Raises
    ------
    DownloadFailed
        network, checksum or disk; nothing of that archive is kept.
    UnsafeArchive
        it holds what no data set needs; nothing of it is kept.
    KeyError
        a name is not in ``sources``.
    """
    for source in [sources[name] for name in names]:
        try:
            root.mkdir(parents=True, exist_ok=True)
            with FileLock(root / ".download.lock"):  # a second command waits, and finds it done
                _download(source, root, progress)
        except (OSError, ValueError) as error:  # errors of requests are OSErrors, pooch's of the hash ValueErrors
            raise DownloadFailed(url=source.url, reason=str(error).rstrip(".")) from error


def _download(source: Source, root: Path, progress: bool) -> None:
    marker = root / TOP_FOLDER / f".{source.filename}.md5"
    if marker.is_file() and marker.read_text() == source.md5:
        return
    archive = _fetch(source, root / "downloads", progress)
    try:
        extract(archive, root)
    finally:
        archive.unlink(missing_ok=True)
    marker.write_text(source.md5)


def _fetch(source: Source, folder: Path, progress: bool) -> Path:
    """Pooch writes to a temporary name, and gives the file its own only when the hash is right."""
    downloader = pooch.HTTPDownloader(
        progressbar=progress,
        chunk_size=CHUNK_BYTES,
        timeout=TIMEOUT_SECONDS,
        hooks={"response": _refuse_plain_http},
    )
    return Path(
        pooch.retrieve(
            source.url,
            known_hash=f"md5:{source.md5}",
            fname=source.filename,
            path=folder,
            downloader=downloader,
        )
    )


def _refuse_plain_http(response: Response, *args: object, **options: object) -> None:
    """Called with every response before its redirect is followed: https must not lead elsewhere."""
    if not response.is_redirect or urlsplit(response.url).scheme != "https":
        return
    target = urljoin(response.url, response.headers["location"])
    if urlsplit(target).scheme != "https":
        raise DownloadFailed(url=response.url, reason=f"it redirects to {target}, which is not https")


def extract(archive: Path, root: Path) -> None:
    """Unpack a tar archive to ``root/VOCdevkit``, after a look at all of its members.

    Parameters
    ----------
    archive
        an uncompressed tar file.
    root
        folder to fill; it is made if need be.

    Raises
    ------
    UnsafeArchive
        a member is no file or folder, or lies outside ``VOCdevkit``; there is too much; or the archive is
        damaged. Nothing was unpacked.
    OSError
        the disk is full, or can't be written. What was unpacked is removed.
    """
    root.mkdir(parents=True, exist_ok=True)
    try:
        with archive.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            members = _checked_members(tar, archive)
            # tarfile takes a broken header for the end of the archive; zeros are a true end.
            file.seek(tar.offset)
            if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
                raise UnsafeArchive(path=archive, reason="it is damaged or cut off")
            # In the same folder, so that moving is renaming: a full disk is met before, not half-way.
            with TemporaryDirectory(prefix=".unpacking-", dir=root) as unpacked:
                # Python 3.11.0 to 3.11.3 have no filters: there the check above stands alone.
                safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
                tar.extractall(unpacked, members, **safe)  # type: ignore[arg-type]  # noqa: S202 - checked
                _move(Path(unpacked) / TOP_FOLDER, root / TOP_FOLDER)
    except tarfile.TarError as error:
        raise UnsafeArchive(path=archive, reason=f"it is damaged: {error}") from error


def _checked_members(tar: tarfile.TarFile, archive: Path) -> list[tarfile.TarInfo]:
    """All members. The check is our own: the filters of older Pythons can be got round."""
    members: list[tarfile.TarInfo] = []
    size = 0
    for member in tar:
        members.append(member)
        size += member.size
        if reason := _why_unsafe(member):
            raise UnsafeArchive(path=archive, reason=f"its member {member.name!r} {reason}")
        if len(members) > MAX_MEMBERS:
            raise UnsafeArchive(path=archive, reason=f"it has more than {MAX_MEMBERS} members")
        if size > MAX_UNPACKED_BYTES:
            raise UnsafeArchive(path=archive, reason=f"it unpacks to more than {MAX_UNPACKED_BYTES} bytes")
    if not members:
        raise UnsafeArchive(path=archive, reason="it is empty")
    return members


def _why_unsafe(member: tarfile.TarInfo) -> str | None:
    path = PurePosixPath(member.name)
    if not (member.isreg() or member.isdir()):
        return "is neither a file nor a folder"
    if path.is_absolute():
        return "is an absolute path"
    if ".." in path.parts:
        return "leads out of its folder"
    if path.parts[:1] != (TOP_FOLDER,) or (len(path.parts) == 1 and not member.isdir()):
        return f"is not in the folder {TOP_FOLDER}"
    if member.size < 0:
        return "has a negative size"
    return None


def _move(source: Path, target: Path) -> None:
    """Move a file or folder into place; a folder that is there already is filled up."""
    if not (source.is_dir() and target.is_dir()):
        source.replace(target)
        return
    # The lists of the splits last: without its lists, an archive half moved can't be taken for whole.
    for child in sorted(source.iterdir(), key=lambda child: child.name == "ImageSets"):
        _move(child, target / child.name)
