"""Files of decoded pixels: their names and their records. Workers fill them, `analyze cache` looks at them.

A file has the images of one data set (known by its fingerprint) at one size, a record for each. A record's
number is the image's position in its data set, in ascending order of ids. The record is the CRC-32 of the pixels,
little-endian, 0 where there are none yet (a CRC that is 0 is kept as 1), and the pixels: uint8 [size, size, 3],
RGB. The file has its full length from the start, with holes for what is not there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

# Another way to decode or to resize needs another ending: the pixels of the old way must not be found.
NAME = re.compile(r"(?P<fingerprint>[0-9a-f]{64})-(?P<size>[1-9][0-9]{0,4})\.pixels")
CHECKSUM_BYTES = 4
BLOCK_BYTES = 512  # the unit of st_blocks, whatever the file system's own is


def file_name(fingerprint: str, size: int) -> str:
    """The name of a data set's file at one size."""
    return f"{fingerprint}-{size}.pixels"


def record_bytes(size: int) -> int:
    """Bytes of one image of ``size`` x ``size``."""
    return CHECKSUM_BYTES + size * size * 3


@dataclass(frozen=True)
class PixelFile:
    """A file of pixels as it lies in the cache's folder."""

    path: Path
    fingerprint: str
    size: int  # height and width of its images
    bytes: int  # of the whole file, holes too
    allocated: int  # bytes that it takes on the disk
    used: float  # when it was last opened or written, in seconds since 1970

    @property
    def images(self) -> int:
        """Images it has room for: those of its data set."""
        return self.bytes // record_bytes(self.size)

    @property
    def share(self) -> float:
        """Share of the images that it holds, as told by the blocks it takes: the file itself is not read."""
        return min(1.0, self.allocated / self.bytes) if self.bytes else 0.0


def pixel_files(folder: Path) -> list[PixelFile]:
    """The files of pixels in a folder, those used least recently first; whatever else is there is left out.

    Raises
    ------
    OSError
        the folder is there and can't be read.
    """
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        if not (name := NAME.fullmatch(path.name)):
            continue
        try:
            status = path.lstat()
        except FileNotFoundError:  # removed by somebody else a moment ago
            continue
        found.append(
            PixelFile(
                path=path,
                fingerprint=name["fingerprint"],
                size=int(name["size"]),
                bytes=status.st_size,
                allocated=status.st_blocks * BLOCK_BYTES,
                used=status.st_mtime,
            )
        )
    return sorted(found, key=lambda file: (file.used, file.path.name))
