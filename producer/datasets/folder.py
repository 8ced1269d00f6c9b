"""A folder of images for each class, as torchvision's ImageFolder; with folders ``train``, ``val``, ``test``
above them if the data set is divided already."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from producer.datasets.scan import BrokenFile, fingerprint, scan_files
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
    root = root.resolve()
    if not root.is_dir():
        raise NoDatasetThere(root=root, kind="folder", reason="there is no such folder")
    divided = [split for split in SPLITS if (root / split).is_dir()] if (root / "train").is_dir() else []
    tops = [root / split for split in divided] or [root]
    files = sorted(
        path.relative_to(root).as_posix()
        for top in tops
        for path in top.glob("*/**/*")
        if path.suffix.lower() in SUFFIXES
    )
    if not files:
        raise NoDatasetThere(root=root, kind="folder", reason="no folder in it has images")
    depth = 1 if divided else 0
    class_names = sorted({path.split("/")[depth] for path in files})
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


def _chosen_split(path: str) -> str:
    share = int.from_bytes(hashlib.sha256(path.encode()).digest()[:4]) / 2**32
    return "val" if share < VAL_SHARE else "train"
