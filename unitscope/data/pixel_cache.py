"""Decoded and resized images, kept in a file: an image is decoded once, and not in every epoch and every job."""

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

FOLDER_RIGHTS, FILE_RIGHTS = 0o700, 0o600  # what is in the images is their owner's business

logger = logging.getLogger(__name__)


class PixelCache:
    """The pixels of a data set's images at one size, in one file (its records: ``unitscope.images.pixel_files``).

    It is filled by whoever decodes an image first. Any number of threads and processes may do so at once: they
    write the same bytes. A record that was written by half fails its checksum and counts as absent.

    Reading and writing are ``preadv`` and ``pwrite``, never a memory map: what goes wrong there (a full disk, a
    file system that went away) is an ``OSError`` here, and would be a SIGBUS, the end of the process, in a map.
    """

    def __init__(self, file: Path, count: int, size: int) -> None:
        """Open the file for ``count`` images of ``size`` x ``size``, or make it.

        Raises
        ------
        OSError
            it can be neither opened nor made.
        """
        self.file, self.count, self.size = file, count, size
        self._record = record_bytes(size)
        self._descriptor = _open(file, count * self._record)
        weakref.finalize(self, os.close, self._descriptor)
        os.utime(self._descriptor)  # used now: of several files the one used least recently is removed first
        self._verified = np.zeros(count, bool)  # records whose checksum was seen to be right
        self._full = False
        self._said: set[str] = set()  # warnings: each is given once, whichever thread is the first
        self._lock = threading.Lock()

    def gather(self, positions: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """The images at these positions: uint8 [n, size, size, 3], and bool [n], which of them are here.

        The pixels of those that are not here mean nothing. A record's checksum is looked at once.
        """
        pixels = np.empty((len(positions), self.size, self.size, 3), np.uint8)
        present = np.zeros(len(positions), bool)
        checksum = bytearray(CHECKSUM_BYTES)
        for place, position in enumerate(positions):
            if not 0 <= position < self.count:
                continue
            try:
                found = os.preadv(self._descriptor, [checksum, pixels[place]], position * self._record)
            except OSError as error:
                self._say(f"{self.file} can't be read: {error.strerror or error}")
                break
            if found != self._record or not any(checksum):
                continue
            if not self._verified[position]:
                self._verified[position] = checksum == _checksum(pixels[place])
            present[place] = self._verified[position]
        return pixels, present

    def store(self, position: int, pixels: np.ndarray) -> None:
        """Keep an image, uint8 [size, size, 3]. A disk that is full ends the writing, not the work."""
        if self._full or not 0 <= position < self.count:
            return
        record = _checksum(pixels) + pixels.tobytes()
        try:
            if os.pwrite(self._descriptor, record, position * self._record) < len(record):
                self._stop_writing("no room left")
        except OSError as error:
            self._stop_writing(error.strerror or str(error))

    def _stop_writing(self, reason: str) -> None:
        self._full = True
        self._say(f"no more pixels are kept in {self.file}: {reason}")

    def _say(self, warning: str) -> None:
        with self._lock:
            new = warning not in self._said
            self._said.add(warning)
        if new:
            logger.warning("%s", warning)


def open_cache(folder: Path, fingerprint: str, count: int, size: int, limit_bytes: int) -> PixelCache | None:
    """The cache of a data set's ``count`` images at one size; other files make room for it.

    Those used least recently are removed until what they take, and this one when it is full, is within
    ``limit_bytes``. None if this one alone is larger, or if there can be no file: the work goes on without.
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
        logger.warning("no pixels are kept in %s: %s", file, error.strerror or error)
        return None


def _make_room(folder: Path, wanted: str, room: int) -> None:
    """Remove files used least recently until the others than ``wanted`` take ``room`` bytes at most.

    Another worker may have one of them open. On Linux that is harmless: it goes on with a file that has no name
    any more, whose blocks are given back when it is closed.
    """
    others = [file for file in pixel_files(folder) if file.path.name != wanted]
    taken = sum(file.allocated for file in others)
    for file in others:
        if taken <= room:
            return
        logger.info("%s is removed to make room", file.path)
        file.path.unlink(missing_ok=True)
        taken -= file.allocated


def _open(file: Path, length: int) -> int:
    """A descriptor of the file, which has this length; two processes may make it at once."""
    with suppress(FileNotFoundError):
        # Not made by us, or spoiled. It is replaced and not cut: another worker may be reading it.
        if file.stat().st_size not in (0, length):
            file.unlink()
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, FILE_RIGHTS)
    try:
        os.ftruncate(descriptor, length)  # no change if it has this length already
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _checksum(pixels: np.ndarray) -> bytes:
    return (zlib.crc32(np.ascontiguousarray(pixels).data) or 1).to_bytes(CHECKSUM_BYTES, "little")
