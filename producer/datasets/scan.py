"""Decoding of image files at registration, to find their sizes and hashes and to leave out broken ones."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path, PurePosixPath

from shared.database.catalogue import EXIF, ORIENTATION, TURNED, FoundDataset, FoundImage, turns_images
from shared.errors import NotADataset, NothingUsable
from unitscope.cores import usable_cores
from unitscope.images.decoding import BrokenImage, decode_as_stored, read_file
from unitscope.images.orientation import SIDEWAYS, UPRIGHT
from unitscope.images.perceptual_hash import perceptual_hash

LARGEST_BATCH = 64  # files


@dataclass(frozen=True)
class ScannedFile:
    """An image file that was decoded completely.

    ``width`` and ``height`` are those of the image as it is used: turned as its EXIF ``orientation`` (1 to 8)
    says, or as it is stored.
    """

    width: int
    height: int
    sha256: str
    stored_width: int
    stored_height: int
    orientation: int = UPRIGHT
    perceptual_hash: int | None = None


@dataclass(frozen=True)
class BrokenFile:
    """An image file that can't be used: ``reason`` is a short code."""

    reason: str
    detail: str


Scanned = ScannedFile | BrokenFile


def existing_folder(root: Path, kind: str, reason: str = "it is not an existing folder") -> Path:
    """Return the folder with symbolic links resolved.

    Raises
    ------
    NotADataset
    """
    try:
        resolved = root.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise NotADataset(root=root, kind=kind, reason=reason) from error
    if not resolved.is_dir():
        raise NotADataset(root=root, kind=kind, reason=reason)
    try:
        str(resolved).encode()
    except UnicodeEncodeError:  # the database stores it as text
        shown = ascii(str(resolved))
        raise NotADataset(root=shown, kind=kind, reason="its path is not valid UTF-8") from None
    return resolved


def scan_files(
    root: Path,
    paths: Sequence[str],
    progress: Callable[[int], None] = lambda files: None,
    *,
    upright: bool = False,
) -> dict[str, Scanned]:
    """Decode files (paths relative to ``root``) on all cores; broken ones give ``BrokenFile``, not an error.

    With ``upright``, images are turned as their EXIF orientation says.
    """
    results: dict[str, Scanned] = {}
    threads = max(2, usable_cores())
    # Tiny files are submitted in batches: submitting one takes as long as reading it.
    size = max(1, min(LARGEST_BATCH, len(paths) // (8 * threads)))
    batches = [paths[start : start + size] for start in range(0, len(paths), size)]
    with ThreadPoolExecutor(threads) as pool:
        scanned = pool.map(lambda batch: [scan_file(root, path, upright=upright) for path in batch], batches)
        for path, result in zip(paths, chain.from_iterable(scanned), strict=True):
            results[path] = result
            progress(1)
    return results


def scan_file(root: Path, path: str, *, upright: bool = False) -> Scanned:
    """Decode one file. A path that is absolute or contains ``..`` is refused.

    Symbolic links are followed: the owner of the data set made them, often to a larger disk.
    """
    try:
        path.encode()
        if leads_out(path):
            return BrokenFile("path outside the data set", path)
        content = read_file(root / path)
        image, orientation = decode_as_stored(content)
        size = image.size[::-1] if upright and orientation in SIDEWAYS else image.size
        sha256 = hashlib.sha256(content).hexdigest()
        return ScannedFile(*size, sha256, *image.size, orientation, perceptual_hash(image))
    except UnicodeEncodeError:
        return BrokenFile("name not UTF-8", repr(path))
    except BrokenImage as broken:
        return BrokenFile(broken.reason, broken.detail)


def leads_out(path: str) -> bool:
    """Return whether a path in a data set is absolute or contains ``..``."""
    pure_path = PurePosixPath(path)
    return pure_path.is_absolute() or ".." in pure_path.parts


def require_usable(found: FoundDataset) -> None:
    """Raise an error if a data set has no usable image.

    Raises
    ------
    NothingUsable
        The message has the numbers of images and objects that were left out, by reason.
    """
    if found.images:
        return
    counts = Counter(problem.reason for problem in found.problems).most_common()
    reasons = ", ".join(f"{reason}: {count}" for reason, count in counts)
    raise NothingUsable(root=found.root, reasons=reasons or "no image has an object, or none is listed")


def complete(found: FoundDataset, scanned: Mapping[str, Scanned], *, upright: bool) -> None:
    """Record the images' perceptual hashes, and how many of the used ones are turned; compute the fingerprint.

    Parameters
    ----------
    scanned
        The scanned files by path.
    upright
        Whether images are turned as their EXIF orientation says.
    """
    found.images = [_with_hash(image, scanned.get(image.path)) for image in found.images]
    used = {image.path for image in found.images}
    files = [file for path, file in scanned.items() if path in used]
    turned = sum(isinstance(file, ScannedFile) and file.orientation != UPRIGHT for file in files)
    if upright:
        found.options |= {ORIENTATION: EXIF, TURNED: turned}
        if turned:
            found.notes.append(
                f"Photographs turned upright, as their EXIF orientation says: {turned} of {len(used)} "
                "(--orientation stored leaves them as they are stored)."
            )
    elif turned:
        found.notes.append(
            f"Photographs that lie on their side or are mirrored: {turned} of {len(used)}. They are used as "
            "they are stored (`dataset add --orientation exif` turns them, as viewers do)."
        )
    found.fingerprint = fingerprint(found)


def _with_hash(image: FoundImage, scanned: Scanned | None) -> FoundImage:
    known = scanned.perceptual_hash if isinstance(scanned, ScannedFile) else None
    return replace(image, perceptual_hash=known)


def fingerprint(found: FoundDataset) -> str:
    """Return the SHA-256 of what results depend on: classes, and each image's content, box, class and splits.

    How images are turned follows from their content. Only whether they are turned is added, where any is.
    """
    digest = hashlib.sha256(json.dumps(found.class_names).encode())
    for image in found.images:
        line = [image.path, image.object_number, image.class_index, image.box, image.sha256, image.splits]
        digest.update(json.dumps(line).encode())
    if turns_images(found.options):
        digest.update(json.dumps([ORIENTATION, EXIF]).encode())
    return digest.hexdigest()
