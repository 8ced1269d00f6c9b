"""A folder of images for each class, as torchvision's ImageFolder; with folders ``train``, ``val``, ``test``
above them if the data set is divided already."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from producer.datasets.scan import BrokenFile, existing_folder, fingerprint, scan_files
from shared.catalogue import FoundDataset, FoundImage, Problem
from shared.errors import NoDatasetThere

SUFFIXES = {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif"}
SPLITS = ("train", "val", "test")
VAL_SHARE = 0.2


def read_folder(root: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> FoundDataset:
    """Read a data set of a folder per class.

    Without folders ``train`` and ``val``, every image is in the split ``all``, and one in five, chosen by a hash
    of its path and so the same on every machine, in ``val``, the others in ``train``.

    Raises
    ------
    NoDatasetThere
        ``root`` has no folder with images.
    """
    root = existing_folder(root, "folder")
    divided = [split for split in SPLITS if _holds_classes(root / split)] if _holds_classes(root / "train") else []
    tops = [root / split for split in divided] or [root]
    files = sorted(
        path.relative_to(root).as_posix()
        for top in tops
        for path in top.glob("*/**/*")
        if path.suffix.lower() in SUFFIXES and not _is_hidden(path.relative_to(root))
    )
    if not files:
        raise NoDatasetThere(root=root, kind="folder", reason="no folder in it has images")
    depth = 1 if divided else 0
    class_names = sorted({name for path in files if _is_text(name := path.split("/")[depth])})
    found = FoundDataset("folder", str(root), {"splits": divided or ["all", "train", "val"]}, class_names)
    done = iter(range(1, len(files) + 1))
    scanned = scan_files(root, files, lambda _: progress(next(done), len(files)))
    for path, image in scanned.items():
        if isinstance(image, BrokenFile):
            found.problems.append(Problem(path, 0, image.reason, image.detail))
            continue
        name = path.split("/")[depth]
        splits = (path.split("/")[0],) if divided else ("all", _chosen_split(path))
        found.images.append(
            FoundImage(
                path=path,
                object_number=0,
                class_index=class_names.index(name),
                class_name=name,
                width=image.width,
                height=image.height,
                box=None,
                sha256=image.sha256,
                splits=splits,
            )
        )
    found.fingerprint = fingerprint(found)
    return found


def _holds_classes(folder: Path) -> bool:
    """Whether a folder has folders: ``train`` may be a class as well as a split."""
    return folder.is_dir() and any(inner.is_dir() and inner.name[0] != "." for inner in folder.iterdir())


def _is_hidden(path: Path) -> bool:
    """``.thumbnails`` is no class, and ``._dog.jpg`` no image."""
    return any(part.startswith(".") for part in path.parts)


def _is_text(name: str) -> bool:
    """A file's name on Linux is any bytes; those that are no UTF-8 can't be kept as text."""
    return not any("\udc80" <= letter <= "\udcff" for letter in name)


def _chosen_split(path: str) -> str:
    share = int.from_bytes(hashlib.sha256(path.encode()).digest()[:4]) / 2**32
    return "val" if share < VAL_SHARE else "train"
