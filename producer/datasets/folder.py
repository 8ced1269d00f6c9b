"""Data sets with a folder of images for each class, like torchvision's ImageFolder.

The class folders may be inside ``train``, ``val`` and ``test``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from producer.datasets.scan import BrokenFile, complete, existing_folder, scan_files
from shared.database.catalogue import FoundDataset, FoundImage, Problem
from shared.errors import NotADataset
from unitscope.images.files import SUFFIXES, is_validation_image
from unitscope.images.files import image_files as files_below

SPLITS = ("train", "val", "test")


def read_folder(
    root: Path, progress: Callable[[int, int], None] = lambda done, total: None, *, upright: bool = False
) -> FoundDataset:
    """Read a data set with a folder for each class.

    Without a folder ``train``, every image is in the split ``all``, and a hash of its path, which is the same on
    every machine, puts one image in five into ``val`` and the others into ``train``.

    Raises
    ------
    NotADataset
        ``root`` has no folder with images.
    """
    root = existing_folder(root, "folder")
    divided = [split for split in SPLITS if holds_classes(root / split)] if holds_classes(root / "train") else []
    files = image_files(root, [root / split for split in divided] or [root])
    if not files:
        raise NotADataset(root=root, kind="folder", reason="no folder in it has images")
    depth = 1 if divided else 0
    classes = {path: path.split("/")[depth] for path in files}
    names = sorted({name for name in classes.values() if is_text(name)})
    found = FoundDataset("folder", str(root), {"splits": divided or ["all", "train", "val"]}, names)
    splits_of = (lambda path: (path.split("/")[0],)) if divided else chosen_splits
    fill(found, {path: (name, splits_of(path)) for path, name in classes.items()}, progress, upright=upright)
    return found


def image_files(root: Path, tops: Iterable[Path]) -> list[str]:
    """Return the image files in subfolders of ``tops``, at any depth, as sorted paths relative to ``root``.

    Links to folders are followed, except links to a parent folder.

    Raises
    ------
    NotADataset
        A folder cannot be read, or is a link to nothing: its target may not be mounted.
    """
    found: list[str] = []
    for top in tops:
        depth = len(top.relative_to(root).parts)
        try:
            for folder in top.iterdir():
                if folder.is_symlink() and not folder.exists() and folder.suffix.lower() not in SUFFIXES:
                    raise FileNotFoundError(0, "it is a link to nothing", str(folder))
            found += (path for path in files_below(root, top) if path.count("/") > depth)
        except OSError as error:
            raise NotADataset(root=root, kind="folder", reason=f"{error.filename}: {error.strerror}") from error
    return sorted(found)


def fill(
    found: FoundDataset,
    members: Mapping[str, tuple[str, tuple[str, ...]]],
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    upright: bool = False,
) -> None:
    """Scan image files, and add each to the images or the problems of ``found``.

    Parameters
    ----------
    members
        (class name, splits) by path, in the order of the images.
    upright
        Turn images as their EXIF orientation says.
    """
    root, files = Path(found.root), list(members)
    indices = {name: index for index, name in enumerate(found.class_names)}
    done = iter(range(1, len(files) + 1))
    scanned = scan_files(root, files, lambda _: progress(next(done), len(files)), upright=upright)
    for path, image in scanned.items():
        if isinstance(image, BrokenFile):
            found.problems.append(Problem(path, 0, image.reason, image.detail))
            continue
        name, splits = members[path]
        found.images.append(
            FoundImage(
                path=path,
                object_number=0,
                class_index=indices[name],
                class_name=name,
                width=image.width,
                height=image.height,
                box=None,
                sha256=image.sha256,
                splits=splits,
            )
        )
    complete(found, scanned, upright=upright)


def holds_classes(folder: Path) -> bool:
    """Return whether a folder has subfolders; a folder ``train`` without any is a class, not a split."""
    return folder.is_dir() and any(inner.is_dir() and inner.name[0] != "." for inner in folder.iterdir())


def is_text(name: str) -> bool:
    """Return whether a file name is valid UTF-8. On Linux it can be any bytes; the database stores text."""
    return not any("\udc80" <= letter <= "\udcff" for letter in name)


def chosen_splits(path: str) -> tuple[str, ...]:
    """Return ``all``, and ``train`` or ``val`` by a hash of the path, which is the same on every machine."""
    return "all", "val" if is_validation_image(path) else "train"
