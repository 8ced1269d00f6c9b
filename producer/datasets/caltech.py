"""Caltech-101 and Caltech-256: a folder per class, and a folder of background images."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from producer.datasets.folder import (
    fill,
    is_text,
    leave_out,
    list_images,
    note_listing,
    refuse_dangling,
)
from producer.datasets.hashed import chosen_splits
from producer.datasets.scan import existing_folder
from shared.database.catalogue import FoundDataset
from shared.errors import NotADataset
from unitscope.spelling import nfc

NUMBERED = re.compile(r"\d{3}\.(.+)")  # 001.ak47


@dataclass(frozen=True)
class Layout:
    """Names of the folders of a Caltech data set."""

    folder: str  # holds a folder per class
    around: tuple[str, ...]  # possible parents of ``folder``
    background: str  # folder of background images, which is not a class


LAYOUTS = {
    "caltech101": Layout("101_ObjectCategories", ("caltech-101", "caltech101"), "BACKGROUND_Google"),
    "caltech256": Layout("256_ObjectCategories", ("caltech-256", "caltech256"), "257.clutter"),
}


def read_caltech(
    root: Path,
    kind: str,
    background: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    upright: bool = False,
) -> FoundDataset:
    """Read Caltech-101 or Caltech-256.

    Every image is in the split ``all``, and in ``train`` or ``val`` as in ``read_folder``. Classes are in the
    order of their folders; the numbers of Caltech-256 are not part of their names.

    Parameters
    ----------
    root
        ``101_ObjectCategories`` or ``256_ObjectCategories``, or a folder that holds it.
    kind
        A key of ``LAYOUTS``.
    background
        Include the background images as a class.
    upright
        Turn images as their EXIF orientation says.

    Raises
    ------
    NotADataset
    """
    layout = LAYOUTS[kind]
    base = _base(root, kind)
    listing = list_images(base, [base])
    refuse_dangling(base, listing, [""])
    in_classes = [path for path in listing.images if "/" in path]
    files = [path for path in in_classes if background or path.split("/")[0] != layout.background]
    if not files:
        raise NotADataset(root=base, kind=kind, reason="no folder in it has images")
    names = _class_names(sorted({nfc(path.split("/")[0]) for path in files}))
    options = {"splits": ["all", "train", "val"], "background": background}
    found = FoundDataset(kind, str(base), options, [name for name in names.values() if is_text(name)])
    leave_out(found, (path for path in listing.images if "/" not in path), "not in a class folder")
    note_listing(found, listing)
    fill(
        found,
        {path: (names[nfc(path.split("/")[0])], chosen_splits(path)) for path in files},
        progress,
        upright=upright,
    )
    return found


def _base(root: Path, kind: str) -> Path:
    layout = LAYOUTS[kind]
    resolved = existing_folder(root, kind)
    if layout.folder in (root.name, resolved.name):
        return resolved
    for around in (resolved, *(resolved / name for name in layout.around)):
        if (around / layout.folder).is_dir():
            return existing_folder(around / layout.folder, kind)
    reason = f"neither the folder nor a folder inside it is named {layout.folder}"
    raise NotADataset(root=root, kind=kind, reason=reason)


def _class_names(folders: list[str]) -> dict[str, str]:
    """Map folders to class names, without their numbers unless two names would then be equal."""
    short = {folder: match[1] if (match := NUMBERED.fullmatch(folder)) else folder for folder in folders}
    return short if len({*short.values()}) == len(folders) else {folder: folder for folder in folders}
