"""Cache of decoded and resized images on disk, shared by epochs, jobs and processes."""

from __future__ import annotations

import logging
import os
import threading
import weakref
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from unitscope.images.pixel_files import CHECKSUM_BYTES, file_name, pixel_files, record_bytes

FOLDER_RIGHTS, FILE_RIGHTS = 0o700, 0o600  # images may be private

logger = logging.getLogger(__name__)


class PixelCache:
    """Pixels of a data set's images at one size, in one file (format: ``unitscope.images.pixel_files``).

    Images are stored as they are first decoded. Any number of threads and processes may write at once without
    locks, because they write the same bytes. A partly written record fails its checksum and counts as absent.

    The file is accessed with ``preadv`` and ``pwrite`` rather than a memory map, so that a full disk or an
    unavailable file system raises ``OSError``; with a memory map it would kill the process with SIGBUS.
    """

    def __init__(self, file: Path, count: int, size: int) -> None:
        """Open the file for ``count`` images of ``size`` x ``size`` pixels; create it if it does not exist.

        Raises
        ------
        OSError
            the file can't be opened or created.
        """
        self.file, self.count, self.size = file, count, size
        self._record = record_bytes(size)
        self._descriptor = _open(file, count * self._record)
        weakref.finalize(self, os.close, self._descriptor)
        os.utime(self._descriptor)  # mark as used: the least recently used files are removed first
        self._verified = np.zeros(count, bool)  # records whose checksum was correct
        self._full = False
        self._logged: set[str] = set()  # warnings already logged: each is logged once
        self._lock = threading.Lock()

    def gather(self, positions: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Read the images at ``positions``: pixels uint8 [n, size, size, 3], and bool [n], which are present.

        Pixels of absent images are undefined. A record's checksum is verified on its first read only.
        """
        pixels = np.empty((len(positions), self.size, self.size, 3), np.uint8)
        present = np.zeros(len(positions), bool)
        checksum = bytearray(CHECKSUM_BYTES)
        for index, position in enumerate(positions):
            if not 0 <= position < self.count:
                continue
            try:
                length = os.preadv(self._descriptor, [checksum, pixels[index]], position * self._record)
            except OSError as error:
                self._warn_once(f"pixel cache {self.file} can't be read: {error.strerror or error}")
                break
            if length != self._record or not any(checksum):
                continue
            if not self._verified[position]:
                self._verified[position] = checksum == _checksum(pixels[index])
            present[index] = self._verified[position]
        return pixels, present

    def store(self, position: int, pixels: np.ndarray) -> None:
        """Store an image, uint8 [size, size, 3]. If writing fails, log a warning and stop storing."""
        if self._full or not 0 <= position < self.count:
            return
        record = _checksum(pixels) + pixels.tobytes()
        try:
            if os.pwrite(self._descriptor, record, position * self._record) < len(record):
                self._stop_writing("no space left on device")
        except OSError as error:
            self._stop_writing(error.strerror or str(error))

    def _stop_writing(self, reason: str) -> None:
        self._full = True
        self._warn_once(f"no more images are stored in the pixel cache {self.file}: {reason}")

    def _warn_once(self, warning: str) -> None:
        with self._lock:
            new = warning not in self._logged
            self._logged.add(warning)
        if new:
            logger.warning("%s", warning)


def open_cache(folder: Path, fingerprint: str, count: int, size: int, limit_bytes: int) -> PixelCache | None:
    """Open the cache of a data set's ``count`` images at one size, and remove other files to make room for it.

    The least recently used files are removed until the remaining ones and the full length of this one are within
    ``limit_bytes``. The result is None, and images are not cached, if this file alone exceeds the limit, or (with
    a warning in the log) if it can't be created.
    """
    length = count * record_bytes(size)
    if length > limit_bytes:
        return None
    file = folder / file_name(fingerprint, size)
    try:
        folder.mkdir(FOLDER_RIGHTS, parents=True, exist_ok=True)
        _make_room(folder, file.name, limit_bytes - length)
        return PixelCache(file, count, size)
    except OSError as error:
        logger.warning("pixel cache %s can't be used: %s", file, error.strerror or error)
        return None


def _make_room(folder: Path, name: str, room: int) -> None:
    """Remove the least recently used files until all files but ``name`` take ``room`` bytes at most.

    Another worker may have such a file open. On Linux it keeps working with the unlinked file, whose blocks are
    freed when it is closed.
    """
    others = [file for file in pixel_files(folder) if file.path.name != name]
    taken = sum(file.allocated for file in others)
    for file in others:
        if taken <= room:
            return
        logger.info("removing %s from the pixel cache to make room", file.path)
        file.path.unlink(missing_ok=True)
        taken -= file.allocated


def _open(file: Path, length: int) -> int:
    """Open or create the file with this length; several processes may do so at once."""
    with suppress(FileNotFoundError):
        # A file of another length is damaged. It is replaced, not truncated: another worker may be reading it.
        if file.stat().st_size not in (0, length):
            file.unlink()
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, FILE_RIGHTS)
    try:
        os.ftruncate(descriptor, length)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _checksum(pixels: np.ndarray) -> bytes:
    return (zlib.crc32(np.ascontiguousarray(pixels).data) or 1).to_bytes(CHECKSUM_BYTES, "little")
