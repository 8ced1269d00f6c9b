"""Reading of data sets of any kind, for the first time or again with the same options."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from producer.datasets.caltech import read_caltech
from producer.datasets.cifar import read_cifar
from producer.datasets.folder import ONLY_CLASS, read_folder
from producer.datasets.layout import NO_SPLITS, parse_split_folders
from producer.datasets.shapes import CLASSES
from producer.datasets.voc import read_voc
from producer.datasets.voc.boxes import FROM_1, ORIGINS
from producer.datasets.voc.classes import AUTO, is_name
from shared.database.catalogue import EXIF, NOTES, ORIENTATION, ORIENTATIONS, STORED, FoundDataset, find_dataset
from shared.database.connection import Database
from shared.database.datasets import Dataset
from shared.errors import NoSuchDataset, UsageError
from shared.text import one_line

# kind -> options of reading it, which `datasets.options` keeps for `analyze dataset update`.
CHOICES = {
    "voc": ("years", "splits", "whole", "difficult", "classes", "boxes", ORIENTATION),
    "shapes": ("whole", ORIENTATION),
    "cifar10": (ORIENTATION,),
    "cifar100": (ORIENTATION,),
    "caltech101": ("background", ORIENTATION),
    "caltech256": ("background", ORIENTATION),
    "folder": ("split_folders", ONLY_CLASS, ORIENTATION),
}
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")  # of a year or a split
RECOGNISED = ("classes", "boxes")
CHOSEN = "chosen"  # the key in `datasets.options`


def read_dataset(
    kind: str,
    root: Path,
    chosen: Mapping[str, Any],
    progress: Callable[[int, int], None],
    known_classes: Sequence[str] = (),
) -> FoundDataset:
    """Read the images of a data set below ``root``.

    Parameters
    ----------
    kind
        A key of ``CHOICES``.
    chosen
        Values for the names in ``CHOICES[kind]``; a name that is missing has its default.
    progress
        Called with (files read, files in all).
    known_classes
        Names of classes whose Unicode spelling is kept.

    Raises
    ------
    NotADataset
    """
    given = {name: chosen[name] for name in CHOICES[kind] if chosen.get(name)}
    found = _read(kind, root, given, progress, known_classes)
    found.options |= {name: given[name] for name in (ORIENTATION,) if name in given}
    if name := found.options.get(ONLY_CLASS):  # a folder that is moved or renamed keeps it
        given[ONLY_CLASS] = name
    # What a reader recognised is kept, so that an update reads in the same way.
    found.options[CHOSEN] = given | {name: found.options[name] for name in RECOGNISED if name in found.options}
    found.notes = [one_line(note) for note in found.notes]  # names of files can be any bytes
    if found.notes:
        found.options[NOTES] = found.notes
    return found


def default_orientation(database: Database, name: str) -> str:
    """Return the orientation of a new data set. That of a registered one of this name is kept, so that adding it
    again finds it unchanged."""
    with database.read() as session:
        try:
            return str(chosen_before(find_dataset(session, name)).get(ORIENTATION, STORED))
        except (NoSuchDataset, UsageError):
            return EXIF


def chosen_before(dataset: Dataset) -> dict[str, Any]:
    """Return what was chosen when a registered data set was read.

    Raises
    ------
    UsageError
        The data set was imported, and its options are not those of a data set of its kind.
    """
    # Without a record, from before it was kept, what was found is used.
    options = dataset.options.get(CHOSEN, dataset.options)
    if isinstance(options, dict) and dataset.kind in CHOICES:
        chosen = {name: options[name] for name in CHOICES[dataset.kind] if name in options}
        if "boxes" in CHOICES[dataset.kind]:  # boxes that count from 0 are on record
            chosen.setdefault("boxes", "from-1")
    else:
        chosen = {"kind": dataset.kind}
    if not all(_is_valid(name, value) for name, value in chosen.items()):
        reason = f"The options of data set '{dataset.name}' can't be read. Register its folder under another name."
        raise UsageError(reason=reason)
    return chosen


def _is_valid(name: str, value: Any) -> bool:
    if name in ("whole", "difficult", "background"):
        return isinstance(value, bool)
    if name == ORIENTATION:
        return value in ORIENTATIONS
    if name == "boxes":
        return value in ORIGINS
    if name == "classes":
        return value == AUTO or (isinstance(value, list) and all(isinstance(v, str) and is_name(v) for v in value))
    if name == ONLY_CLASS:
        return isinstance(value, str)
    if name == "split_folders":
        return isinstance(value, str) and (value == NO_SPLITS or _is_parsed(value))
    is_list = name in ("years", "splits") and isinstance(value, list)
    return is_list and all(isinstance(item, str) and NAME.fullmatch(item) for item in value)


def _is_parsed(split_folders: str) -> bool:
    try:
        return bool(parse_split_folders(split_folders))
    except ValueError:
        return False


def _read(
    kind: str,
    root: Path,
    given: Mapping[str, Any],
    progress: Callable[[int, int], None],
    known_classes: Sequence[str],
) -> FoundDataset:
    upright = given.get(ORIENTATION, STORED) == EXIF  # earlier versions read all images as stored
    if kind == "folder":
        return read_folder(
            root,
            progress,
            split_folders=given.get("split_folders"),
            only_class=given.get(ONLY_CLASS),
            known_classes=known_classes,
            upright=upright,
        )
    if kind.startswith("cifar"):
        return read_cifar(root, kind, progress, upright=upright)
    if kind.startswith("caltech"):
        return read_caltech(root, kind, given.get("background", False), progress, upright=upright)
    years, splits, classes = given.get("years"), given.get("splits"), given.get("classes")
    return read_voc(
        root,
        kind=kind,
        years=tuple(years) if years else None,
        splits=tuple(splits) if splits else None,
        whole=given.get("whole", False),
        difficult=given.get("difficult", False),
        classes=CLASSES if kind == "shapes" else tuple(classes) if isinstance(classes, list) else classes,
        boxes=FROM_1 if kind == "shapes" else given.get("boxes"),
        upright=upright,
        progress=progress,
    )
