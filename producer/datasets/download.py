"""Data sets from their own servers: fetched, checked against their MD5, and unpacked only if that is safe.

An archive counts as unpacked when its marker is there: a file in the folder that it holds, written last.
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

CHUNK_BYTES = 2**18  # pooch's own 1 KiB makes two million small writes
TIMEOUT_SECONDS = 60  # of silence: the servers are slow at times


@dataclass(frozen=True)
class Source:
    """Where an archive is, what it is called, and the MD5 of its content as hexadecimal digits.

    ``folder`` is the one folder that it holds; ``inner`` the name of the tar file in it, if it is a zip file.
    """

    url: str
    filename: str
    md5: str
    folder: str
    inner: str | None = None


# The same as in torchvision.datasets (voc, caltech), which can't be imported here: it needs torch.
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
# Of CIFAR the binary version: what torchvision takes is pickled.
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
    """Have ``root/VOCdevkit`` hold the content of some of VOC's archives, by their keys; see ``download``.

    Raises
    ------
    DownloadFailed, UnsafeArchive
    KeyError
        a name is not in ``sources``.
    """
    download(root, [sources[name] for name in names], progress)


def download(root: Path, sources: Iterable[Source], progress: bool = True) -> None:
    """Have ``root`` hold the folders of some archives; an archive that it holds is not fetched again.

    Parameters
    ----------
    root
        folder to fill; it is made if need be, and takes up to three times an archive's size meanwhile.
    progress
        show a bar on stderr.

    Raises
    ------
    DownloadFailed
        network, checksum or disk; nothing of that archive is kept.
    UnsafeArchive
        it holds what no data set needs; nothing of it is kept.
    """
    for source in sources:
        try:
            root.mkdir(parents=True, exist_ok=True)
            with FileLock(root / ".download.lock"):  # a second command waits, and finds it done
                _download(source, root, progress)
        except (OSError, ValueError) as error:  # errors of requests are OSErrors, pooch's of the hash ValueErrors
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
