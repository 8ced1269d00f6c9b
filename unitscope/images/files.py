"""Folders of image files: which files count, and which of them validate."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

SUFFIXES = {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif"}
VALIDATION_SHARE = 0.2


def image_files(root: Path, folder: Path | None = None) -> list[str]:
    """The image files in ``root``, or in a folder below it, at any depth, as paths relative to ``root``, sorted.

    Links to folders are followed, unless they lead back. What begins with a dot is left out: ``.thumbnails`` and
    ``._dog.jpg`` show nothing.
    """
    above = frozenset() if folder in (None, root) else frozenset({os.path.realpath(root)})
    return sorted(path.relative_to(root).as_posix() for path in _files(folder or root, above))


def _files(folder: Path, above: frozenset[str]) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in above:
        return
    for entry in folder.iterdir():
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _files(entry, above | {real})
        elif entry.suffix.lower() in SUFFIXES:
            yield entry


def validates(path: str) -> bool:
    """Whether an image is for validation where nothing else says so: one in five, chosen by a hash of its path,
    and so the same on every machine."""
    number = int.from_bytes(hashlib.sha256(path.encode(errors="surrogateescape")).digest()[:4])
    return number / 2**32 < VALIDATION_SHARE
