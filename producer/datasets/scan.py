"""Reading image files once, at registration: are they whole, how large, and what do they hash to?"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from shared.catalogue import FoundDataset

LARGEST_IMAGE = 89_478_485  # pixels; Pillow's own limit, which alone is only a warning
LARGEST_FILE = 256 * 2**20  # bytes


@dataclass(frozen=True)
class ScannedFile:
    """An image file that can be decoded whole."""

    width: int
    height: int
    sha256: str


@dataclass(frozen=True)
class BrokenFile:
    """An image file that can't be used: ``reason`` is a short code."""

    reason: str
    detail: str


Scanned = ScannedFile | BrokenFile


def scan_files(
    root: Path, paths: Sequence[str], progress: Callable[[int], None] = lambda files: None
) -> dict[str, Scanned]:
    """Decode each file (relative to ``root``) once, on all cores; nothing is raised for a bad one."""
    results: dict[str, Scanned] = {}
    with ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as pool:
        for path, result in zip(paths, pool.map(lambda path: scan_file(root, path), paths), strict=True):
            results[path] = result
            progress(1)
    return results


def scan_file(root: Path, path: str) -> Scanned:
    """Decode one file. A link that leads out of ``root`` is refused, like a path that does."""
    file = root / path
    try:
        if not file.resolve().is_relative_to(root.resolve()):
            return BrokenFile("path outside the data set", path)
        if not file.is_file():
            return BrokenFile("missing file", path)
        if file.stat().st_size > LARGEST_FILE:
            return BrokenFile("file too large", f"{file.stat().st_size} bytes")
        content = file.read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > LARGEST_IMAGE:
                return BrokenFile("image too large", f"{image.width} x {image.height} pixels")
            image.convert("RGB")
            return ScannedFile(image.width, image.height, hashlib.sha256(content).hexdigest())
    except Exception as error:  # Pillow's plugins raise nearly everything on a broken file
        return BrokenFile("broken image", f"{type(error).__name__}: {error}")


def fingerprint(found: FoundDataset) -> str:
    """SHA-256 over all that a result can depend on: classes, and each image's content, box, class and splits."""
    digest = hashlib.sha256(json.dumps(found.class_names).encode())
    for image in found.images:
        line = [image.path, image.object_number, image.class_index, image.box, image.sha256, image.splits]
        digest.update(json.dumps(line).encode())
    return digest.hexdigest()
