"""Names and format of the pixel cache's files. Workers write them, `analyze cache` lists and removes them.

A file contains one record for each image of a data set (identified by its fingerprint) at one size, in ascending
order of image ids. A record is a little-endian CRC-32 of the pixels, followed by the pixels, uint8 [size, size,
3], RGB. The CRC is 0 for a record that is not written yet; a computed CRC of 0 is stored as 1. Files are sparse:
they have their full length from the start.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

# If decoding or resizing changes, change the suffix too, so that pixels of the previous version are not used.
NAME = re.compile(r"(?P<fingerprint>[0-9a-f]{64})-(?P<size>[1-9][0-9]{0,4})\.pixels")
CHECKSUM_BYTES = 4
BLOCK_BYTES = 512  # the unit of st_blocks, whatever the file system's own is


def file_name(fingerprint: str, size: int) -> str:
    """Return the file name for a data set's fingerprint and an image size in pixels."""
    return f"{fingerprint}-{size}.pixels"


def record_bytes(size: int) -> int:
    """Return the number of bytes of a record for an image of ``size`` x ``size`` pixels."""
    return CHECKSUM_BYTES + size * size * 3


@dataclass(frozen=True)
class PixelFile:
    """Name, size and last use of a file of the pixel cache."""

    path: Path
    fingerprint: str
    size: int  # height and width of the images, in pixels
    bytes: int  # length of the file, including holes
    allocated: int  # bytes allocated on disk
    used: float  # time of the last open or write, in seconds since 1970

    @property
    def images(self) -> int:
        """Number of records, which is the number of images of the data set."""
        return self.bytes // record_bytes(self.size)

    @property
    def share(self) -> float:
        """Share of the records that are written (0 to 1), estimated from the allocated blocks without reading."""
        return min(1.0, self.allocated / self.bytes) if self.bytes else 0.0


def pixel_files(folder: Path) -> list[PixelFile]:
    """List the pixel cache's files in a folder, least recently used first; other files are ignored.

    Raises
    ------
    OSError
        the folder exists and can't be read.
    """
    files = []
    for path in folder.iterdir() if folder.is_dir() else ():
        if not (name := NAME.fullmatch(path.name)):
            continue
        try:
            status = path.lstat()
        except FileNotFoundError:  # removed by another process since it was listed
            continue
        files.append(
            PixelFile(
                path=path,
                fingerprint=name["fingerprint"],
                size=int(name["size"]),
                bytes=status.st_size,
                allocated=status.st_blocks * BLOCK_BYTES,
                used=status.st_mtime,
            )
        )
    return sorted(files, key=lambda file: (file.used, file.path.name))
