"""Download of data sets from their own servers; MD5 and archive members are checked before anything is unpacked.

A marker file in the unpacked folder, written last, records that an archive was unpacked completely.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import pooch
from filelock import FileLock

from producer.datasets.archives import extract
from unitscope.errors import DownloadFailed

if TYPE_CHECKING:
    from requests import Response

CHUNK_BYTES = 2**18  # pooch's default of 1 KiB makes two million small writes
TIMEOUT_SECONDS = 60  # without data: the servers are sometimes slow


@dataclass(frozen=True)
class Source:
    """An archive on a server."""

    url: str
    filename: str
    md5: str  # hexadecimal
    folder: str  # the only top-level folder of the archive
    inner: str | None = None  # name of the tar file inside, if the archive is a zip file


# Copied from torchvision.datasets (voc, caltech), which can't be imported here because it needs torch.
VOC_SOURCES: dict[str, Source] = {
    "2007": Source(
        "https://thor.robots.ox.ac.uk/pascal/VOC/voc2007/VOCtrainval_06-Nov-2007.tar",
        "VOCtrainval_06-Nov-2007.tar",
        "c52e279531787c972589f7e41ab4ae64",
        "VOCdevkit",
    ),
    "2007-test": Source(
        "https://thor.robots.ox.ac.uk/pascal/VOC/voc2007/VOCtest_06-Nov-2007.tar",
        "VOCtest_06-Nov-2007.tar",
        "b6e924de25625d8de591ea690078ad9f",
        "VOCdevkit",
    ),
    "2012": Source(
        "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
        "VOCtrainval_11-May-2012.tar",
        "6cd6e144f989b92b3379bac3b3de84fd",
        "VOCdevkit",
    ),
}
# For CIFAR the binary version: torchvision's is pickled.
SOURCES: dict[str, Source] = {
    "cifar10": Source(
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        "cifar-10-binary.tar.gz",
        "c32a1d4ab5d03f1284b67883e8d87530",
        "cifar-10-batches-bin",
    ),
    "cifar100": Source(
        "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        "cifar-100-binary.tar.gz",
        "03b5dce01913d631647c71ecec9e9cb8",
        "cifar-100-binary",
    ),
    "caltech101": Source(
        "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip",
        "caltech-101.zip",
        "3138e1922a9193bfa496528edbbc45d0",
        "101_ObjectCategories",
        inner="caltech-101/101_ObjectCategories.tar.gz",
    ),
    "caltech256": Source(
        "https://data.caltech.edu/records/nyy15-4j048/files/256_ObjectCategories.tar",
        "256_ObjectCategories.tar",
        "67b4f42ca05d46448c6bb8ecd2220f6d",
        "256_ObjectCategories",
    ),
}


def download_voc(
    root: Path, names: Sequence[str], sources: Mapping[str, Source] = VOC_SOURCES, progress: bool = True
) -> None:
    """Download VOC's archives with the keys ``names`` to ``root/VOCdevkit``; see ``download``.

    Raises
    ------
    DownloadFailed, UnsafeArchive
    KeyError
        A name is not in ``sources``.
    """
    download(root, [sources[name] for name in names], progress)


def download(root: Path, sources: Iterable[Source], progress: bool = True) -> None:
    """Download and unpack archives to ``root``, except those that were unpacked there before.

    Parameters
    ----------
    root
        Folder to unpack to; it is created if it doesn't exist. Unpacking temporarily needs up to three times an
        archive's size.
    progress
        Show a progress bar on stderr.

    Raises
    ------
    DownloadFailed
        The network, the checksum or the disk failed. Nothing of that archive is kept.
    UnsafeArchive
        The archive has members that a data set doesn't need. Nothing of it is kept.
    """
    for source in sources:
        try:
            root.mkdir(parents=True, exist_ok=True)
            with FileLock(root / ".download.lock"):  # a second command waits for the first one's download
                _download(source, root, progress)
        except (OSError, ValueError) as error:  # requests raises OSErrors; pooch, for a wrong hash, ValueErrors
            raise DownloadFailed(url=source.url, reason=str(error).rstrip(".")) from error


def _download(source: Source, root: Path, progress: bool) -> None:
    marker = root / source.folder / f".{source.filename}.md5"
    if marker.is_file() and marker.read_text() == source.md5:
        return
    archive = _fetch(source, root / "downloads", progress)
    try:
        extract(archive, root, source.folder, source.inner)
    finally:
        archive.unlink(missing_ok=True)
    marker.write_text(source.md5)


def _fetch(source: Source, folder: Path, progress: bool) -> Path:
    """Download an archive; pooch writes to a temporary file, and renames it when the hash is right."""
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
    """Raise ``DownloadFailed`` for a redirect from https to another scheme, before it is followed."""
    if not response.is_redirect or urlsplit(response.url).scheme != "https":
        return
    target = urljoin(response.url, response.headers["location"])
    if urlsplit(target).scheme != "https":
        raise DownloadFailed(url=response.url, reason=f"it redirects to {target}, which is not https")
