"""Classes of the images of a split whose folder has no class folders, from a list beside it.

Read are tiny-ImageNet's ``val_annotations.txt``, ImageNet's ``LOC_val_solution.csv``, and lists of the same form
that are named for the split, such as ``val.txt``: a line for each image, with its file name and its class.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from producer.datasets.layout import join, name_of, parent
from unitscope.images.files import Listing
from unitscope.spelling import nfc

LARGEST_LIST = 64 * 2**20  # bytes
LISTS = (
    "{split}_annotations.txt", "LOC_{split}_solution.csv", "{split}.txt", "{split}.csv", "{split}_labels.txt",
    "{split}_labels.csv", "{folder}.txt", "{folder}.csv", "{folder}_labels.txt", "{folder}_labels.csv",
)  # fmt: skip

IMAGE_COLUMNS = ("path", "filename", "file", "image", "imageid", "imagename", "imagepath")
CLASS_COLUMNS = ("classid", "class", "classname", "label", "labels", "category", "predictionstring")
SEPARATORS = re.compile(r"[\t,; ]+")


@dataclass(frozen=True)
class Labels:
    """The classes in a list, by the image's file name without its extension; ``path`` is that of the list."""

    path: str
    classes: dict[str, str]
    are_numbers: bool  # which were taken as indices of the sorted classes

    def class_of(self, path: str) -> str | None:
        """Return the class of an image; None if it is not listed."""
        return self.classes.get(_stem(name_of(path)))


def read_labels(root: Path, listing: Listing, split: str, folder: str, known: Sequence[str]) -> Labels | None:
    """Find and read the list of a split's classes; None if there is none.

    Parameters
    ----------
    folder
        Folder of the split, relative to ``root``. The list is there or in a folder above it.
    known
        Sorted classes of the other splits. Numbers in the list are indices of them, unless they are such classes.
    """
    files = {path.casefold(): path for path in listing.others}
    names = [name.format(split=split, folder=name_of(folder)).casefold() for name in LISTS]
    above = folder
    while True:
        for name in names:
            if path := files.get(join(above, name).casefold()):
                labels = _parse(root / path, known)
                if labels:
                    return _named(path, labels, known)
        if not above:
            return None
        above = parent(above)


def _parse(file: Path, known: Sequence[str]) -> dict[str, str]:
    """Return the class by the image's file name without its extension.

    A class that is not known ends at the first blank or comma: boxes follow it in ImageNet's and tiny-ImageNet's
    lists.
    """
    try:
        if file.stat().st_size > LARGEST_LIST:
            return {}
        lines = file.read_text("utf-8-sig", errors="replace").splitlines()
    except OSError:
        return {}
    columns = _columns(lines[0]) if lines else None
    image, label = columns or (0, 1)
    labels = {}
    for line in lines[1:] if columns else lines:
        fields = _fields(line)
        if len(fields) <= max(image, label):
            continue
        name = nfc(fields[label])
        if name not in known:
            name = SEPARATORS.split(name)[0]
        if name:
            labels[_stem(name_of(fields[image].replace("\\", "/")))] = name
    return labels


def _columns(heading: str) -> tuple[int, int] | None:
    """Return the columns of the image and the class, by a table's heading; None if the line is no heading."""
    names = [re.sub(r"[\s_-]", "", field.lower()) for field in _fields(heading)]  # image_1 is no heading
    image = next((index for index, name in enumerate(names) if name in IMAGE_COLUMNS), None)
    label = next((index for index, name in enumerate(names) if name in CLASS_COLUMNS), None)
    if image is None and label is None:
        return None
    image, label = image or 0, 1 if label is None else label
    return (image, label) if image != label else (0, 1)


def _fields(line: str) -> list[str]:
    # A tab or comma separates before a blank does, since names may contain blanks.
    separator = next((mark for mark in "\t,;" if mark in line), None)
    return [field.strip().strip('"') for field in line.strip().split(separator)]


def _named(path: str, labels: dict[str, str], known: Sequence[str]) -> Labels:
    numbers = all(label.isascii() and label.isdigit() for label in labels.values())
    if numbers and known and not set(labels.values()) & set(known):
        indices = {stem: int(label) for stem, label in labels.items() if len(label) < 10}
        in_range = {stem: known[index] for stem, index in indices.items() if index < len(known)}
        # ImageNet's own numbers, from 1, are in another order: with a number out of range, none is used.
        return Labels(path, in_range if len(in_range) == len(labels) else {}, True)
    return Labels(path, labels, False)


def _stem(name: str) -> str:
    return nfc(re.sub(r"\.[A-Za-z0-9]{2,4}$", "", name))
