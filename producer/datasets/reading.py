"""Reading of data sets of any kind, for the first time or again with the same options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from producer.datasets.caltech import read_caltech
from producer.datasets.cifar import read_cifar
from producer.datasets.folder import read_folder
from producer.datasets.shapes import CLASSES
from producer.datasets.voc import read_voc
from shared.database.catalogue import FoundDataset
from shared.database.datasets import Dataset

# kind -> options of reading it, which `datasets.options` keeps for `analyze dataset update`.
CHOICES = {
    "voc": ("years", "splits", "whole", "difficult"),
    "shapes": ("whole",),
    "cifar10": (),
    "cifar100": (),
    "caltech101": ("background",),
    "caltech256": ("background",),
    "folder": (),
}
CHOSEN = "chosen"  # the key in `datasets.options`


def read_dataset(
    kind: str, root: Path, chosen: Mapping[str, Any], progress: Callable[[int, int], None]
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

    Raises
    ------
    NotADataset
    """
    given = {name: chosen[name] for name in CHOICES[kind] if chosen.get(name)}
    found = _read(kind, root, given, progress)
    found.options[CHOSEN] = given
    return found


def chosen_before(dataset: Dataset) -> dict[str, Any]:
    """Return the options with which a registered data set was read."""
    if CHOSEN in dataset.options:
        return dict(dataset.options[CHOSEN])
    # Registered by a version that kept only the years and splits that were found.
    return {name: dataset.options[name] for name in CHOICES[dataset.kind] if name in dataset.options}


def _read(kind: str, root: Path, given: Mapping[str, Any], progress: Callable[[int, int], None]) -> FoundDataset:
    if kind == "folder":
        return read_folder(root, progress)
    if kind.startswith("cifar"):
        return read_cifar(root, kind, progress)
    if kind.startswith("caltech"):
        return read_caltech(root, kind, given.get("background", False), progress)
    years, splits = given.get("years"), given.get("splits")
    return read_voc(
        root,
        kind=kind,
        years=tuple(years) if years else None,
        splits=tuple(splits) if splits else None,
        whole=given.get("whole", False),
        difficult=given.get("difficult", False),
        classes=CLASSES if kind == "shapes" else None,
        progress=progress,
    )
