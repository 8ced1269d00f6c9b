"""The lists of images in ``ImageSets``, which divide a data set into splits.

A list has an image id per line. A list per class (``aeroplane_train.txt``) repeats another list with a label
behind each id: 1 if the image has an object of the class, 0 if only difficult ones, -1 if none.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from producer.datasets.notes import first_of, number_of
from producer.datasets.voc.index import stem_of
from producer.datasets.voc.layout import Part, child
from shared.database.catalogue import FoundDataset, Problem
from shared.errors import NotADataset

LARGEST_LIST = 64 * 2**20  # bytes; VOC's own split lists have at most 200 KB
LONGEST_ID = 255 - len(".xml")  # bytes; longer names are no names of files
LIST_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
LABEL = re.compile(r"(.*\S)\s+(-1|0|1)")
# A number of an object or a person follows each id in lists of the folders Action and Layout.
NUMBERED = re.compile(r"(.*\S)\s+\d+(?:\s+-?\d+)?")
FOLDERS = ("Main", "Segmentation", "Layout", "Action")
BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass(frozen=True)
class _Lists:
    """The lists of a part: ``read`` are (split, file, with labels), and a line in a list with labels leads to a
    member if its label is 1, or in any case."""

    read: list[tuple[str, Path, bool]]
    any_label: bool = False


def listed_annotations(
    base: Path, part: Part, splits: tuple[str, ...] | None, classes: Collection[str], found: FoundDataset
) -> dict[str, set[str]] | None:
    """Return the splits by annotation (path relative to ``base``) that the lists of a part name.

    Parameters
    ----------
    splits
        Names of the lists to read; None for all but those per class.
    classes
        Names of classes, to recognise lists per class.
    found
        Gets the names of the splits, the lines that lead to nothing as problems, and notes.

    Returns
    -------
        None if the part has no lists.

    Raises
    ------
    NotADataset
        There is no list of a name in ``splits``, or a list is too large.
    """
    folder, files = _files(part)
    if not files:
        return None
    chosen = _named(base, files, splits, classes) if splits else _default(base, files, classes, found)
    if chosen is None:
        return None
    if folder is not None and folder.name.lower() != "main":
        found.notes.append(f"{part.name or 'The data set'}: the lists of ImageSets/{folder.name} were read.")
    found.options["splits"] = sorted({split for split, _, _ in chosen.read} | {*found.options.get("splits", ())})
    numbered = folder is not None and folder.name.lower() in ("layout", "action")
    members: dict[str, set[str]] = {}
    for split, file, labelled in chosen.read:
        for line in _lines(base, file):
            image_id, label = _parse(part, line, labelled, numbered)
            if label != "1" and not chosen.any_label:
                continue
            annotation = _annotation(part, image_id)
            if annotation is None:
                path = str(file.relative_to(base))
                found.problems.append(Problem(path, 0, "bad image id", _shown(image_id)))
            else:
                members.setdefault(annotation, set()).add(split)
    return members


def has_lists(part: Part) -> bool:
    """Return whether a part has lists in its folder ``ImageSets``."""
    return bool(_files(part)[1])


def _files(part: Part) -> tuple[Path | None, dict[str, Path]]:
    """Return the folder whose lists are read, and its lists by name, sorted."""
    if part.lists is None:
        return None, {}
    for folder in (*(child(part.lists, name) for name in FOLDERS), part.lists):
        lists = sorted(folder.glob("*.txt")) if folder else []
        if files := {file.stem: file for file in lists if file.is_file()}:
            return folder, files
    return None, {}


def _named(base: Path, files: dict[str, Path], splits: tuple[str, ...], classes: Collection[str]) -> _Lists:
    for split in splits:
        if not LIST_NAME.fullmatch(split) or split not in files:
            has = first_of(list(files), 20)
            raise NotADataset(root=base, kind="voc", reason=f"there is no split list {split}.txt. It has: {has}")
    return _Lists([(split, files[split], _is_per_class(base, files[split], classes)) for split in splits])


def _default(base: Path, files: dict[str, Path], classes: Collection[str], found: FoundDataset) -> _Lists | None:
    """Choose the lists to read: those that aren't per class and have no ``_`` in their names, if there are any."""
    names = [name for name in files if LIST_NAME.fullmatch(name)]
    odd = [name for name in files if name not in names]
    if odd:
        found.notes.append(
            f"{number_of(len(odd), 'list was', 'lists were')} not read: {first_of(odd)} (a name may have letters, "
            "digits, `_`, `.` and `-`)."
        )
    plain = [name for name in names if "_" not in name]
    per_class = [name for name in names if name not in plain and _is_per_class(base, files[name], classes)]
    others = [name for name in names if name not in plain and name not in per_class]
    if plain:
        if per_class:
            found.notes.append(
                f"{number_of(len(per_class), 'list per class was', 'lists per class were')} not read: "
                f"{first_of(per_class)} (`--split {per_class[0]}` reads one)."
            )
        if others:
            found.notes.append(
                f"Only lists without `_` in their name were read. `--split {others[0]}` reads another: "
                f"{first_of(others)}."
            )
        return _Lists([(name, files[name], _is_labelled(base, files[name])) for name in plain])
    if others:
        found.notes.append(f"Splits have the names of their lists: {first_of(others)}.")
        return _Lists([(name, files[name], False) for name in others])
    if per_class:
        united = [(name.rpartition("_")[2], files[name], True) for name in per_class]
        found.notes.append(
            f"There are only lists per class ({first_of(per_class)}): a split has all images that they name, "
            f"whatever the label. `--split {per_class[0]}` takes those of one list with the label 1."
        )
        return _Lists(united, any_label=True)
    return None


def _is_per_class(base: Path, file: Path, classes: Collection[str]) -> bool:
    return file.stem.rpartition("_")[0] in classes or _is_labelled(base, file)


def _is_labelled(base: Path, file: Path) -> bool:
    """Return whether every line of a list ends with a label."""
    lines = _lines(base, file)
    return bool(lines) and all(LABEL.fullmatch(line) for line in lines)


def _lines(base: Path, file: Path) -> list[str]:
    """Return the lines of a list that aren't blank, without blanks at their ends."""
    size = file.stat().st_size
    if size > LARGEST_LIST:
        raise NotADataset(root=base, kind="voc", reason=f"the split list {file} is larger than 64 MB")
    content = file.read_bytes() if size else b""  # a link into /proc could hold the reader up for ever
    encoding = next((name for mark, name in BYTE_ORDER_MARKS.items() if content.startswith(mark)), "utf-8")
    lines = content.decode(encoding, errors="replace").splitlines()
    return [line.strip() for line in lines if line.strip()]


def _parse(part: Part, line: str, labelled: bool, numbered: bool) -> tuple[str, str]:
    """Return the id and the label of a line, 1 if it has none. An id may end with a number, too (``photo 1``)."""
    pattern = LABEL if labelled else NUMBERED if numbered else None
    match = pattern.fullmatch(line) if pattern else None
    if match is None or _is_known(part, line):
        return line, "1"
    return match[1], match[2] if labelled else "1"


def _is_known(part: Part, image_id: str) -> bool:
    return bool(part.annotation_index.with_stem(image_id) or part.image_index.with_stem(image_id))


def _annotation(part: Part, image_id: str) -> str | None:
    """Return the path of an id's annotation, or None if it isn't an id.

    The id may be the name of an image, or a path: then its last part has to be the name of an annotation.
    """
    path = PurePosixPath(image_id.replace("\\", "/"))
    if not _is_safe(image_id) or ".." in path.parts or not path.name:
        return None
    folder = f"{part.annotations}/" if part.annotations else ""
    for name in (image_id, stem_of(image_id), path.name, stem_of(path.name)):
        if found := part.annotation_index.with_stem(name):
            return folder + found
    is_path = "/" in image_id or "\\" in image_id
    return None if is_path or image_id == "." else f"{folder}{stem_of(image_id)}.xml"


def _is_safe(image_id: str) -> bool:
    """Return whether an id can be the name of a file: no control characters, none that could not be decoded."""
    odd = any(unicodedata.category(letter) in ("Cc", "Cs") or letter == "\ufffd" for letter in image_id)
    names = image_id.replace("\\", "/").split("/")
    return not odd and all(len(name.encode()) <= LONGEST_ID for name in names)


def _shown(image_id: str) -> str:
    hint = " (not UTF-8: save the list as UTF-8)" if "\ufffd" in image_id else ""
    return image_id[:200] + hint
