"""The classes of a data set: VOC's twenty, one's own, or those that its annotations name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from producer.datasets.notes import counted, first_of, number_of
from producer.datasets.voc.annotations import normalized
from producer.datasets.voc.index import folded
from shared.errors import UsageError

VOC_CLASSES = [
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
]
AUTO = "auto"
LONGEST_NAME = 100  # characters
LARGEST_FILE = 2**20  # bytes


def chosen_classes(text: str) -> str | list[str]:
    """Return the value of ``--classes``: ``auto``, or the names in a text or in a file.

    Names are separated by commas; in a file they may be one a line.

    Raises
    ------
    UsageError
    """
    if text.strip() == AUTO:
        return AUTO
    path = Path(text)
    try:
        is_file = path.is_file()
        if is_file and path.stat().st_size > LARGEST_FILE:
            raise UsageError(reason=f"--classes: {path} is too large for a list of names.")
        content = path.read_text("utf-8-sig") if is_file else text
    except UnicodeDecodeError:
        raise UsageError(reason=f"--classes: {path} is not UTF-8 text.") from None
    except (OSError, ValueError):  # a long list of names is not a file's name
        content, is_file = text, False
    lines = content.splitlines() if is_file else [content]
    names = [name for line in lines for name in map(normalized, line.split(",")) if name]
    if not is_file and len(names) == 1 and (path.suffix.lower() in (".txt", ".names", ".csv") or "/" in text):
        raise UsageError(reason=f"--classes: there is no file {text}.")
    if odd := next((name for name in names if not is_name(name)), None):
        raise UsageError(reason=f"--classes: {odd[:LONGEST_NAME]!r} can't be the name of a class.")
    if twice := next((name for name, count in Counter(names).items() if count > 1), None):
        raise UsageError(reason=f"--classes: {twice} is named twice.")
    if not names:
        raise UsageError(reason="--classes: give at least one name, a file of names, or auto.")
    return names


def is_name(name: str) -> bool:
    """Return whether a text can be the name of a class."""
    return 0 < len(name) <= LONGEST_NAME and name.isprintable() and name == normalized(name)


def classes_of(counts: Mapping[str, int], given: str | tuple[str, ...] | None) -> tuple[list[str], bool]:
    """Return the classes of a data set, and whether they are those that its annotations name.

    Parameters
    ----------
    counts
        Number of objects by the name of their class.
    given
        The names of the classes, ``auto``, or None: VOC's twenty if one of them occurs.
    """
    if given is not None and given != AUTO:
        return list(given), False
    named = sorted(name for name in counts if is_name(name))
    if given is None and (not named or not set(VOC_CLASSES).isdisjoint(named)):
        return list(VOC_CLASSES), False
    return named, True


def known_class(name: str, classes: list[str]) -> str | None:
    """Return the class that an object's name refers to.

    The case of a name counts, except in VOC's twenty classes, of which no two differ in case only.
    """
    if name in classes:
        return name
    if classes == VOC_CLASSES and folded(name) in classes:
        return folded(name)
    return None


def notes_on_classes(
    counts: Mapping[str, int], classes: list[str], given: str | tuple[str, ...] | None, is_auto: bool
) -> list[str]:
    """Return what is to be said about the classes that were chosen and those that were not."""
    if is_auto:
        why = "None of VOC's twenty classes occurs, so the" if given is None else "The"
        notes = [
            f"{why} classes are the names in the annotations: {first_of(classes, 10)}. `--classes` names others."
        ]
        spellings: dict[str, list[str]] = {}
        for name in classes:
            spellings.setdefault(folded(name), []).append(name)
        if same := [" and ".join(names) for names in spellings.values() if len(names) > 1]:
            notes.append(f"Names that differ in their case only are different classes: {first_of(same)}.")
        return notes
    notes = []
    respelled = {name: count for name, count in counts.items() if name not in classes}
    matched = {name: count for name, count in respelled.items() if known_class(name, classes)}
    unknown = {name: count for name, count in respelled.items() if name not in matched and name}
    if matched:
        notes.append(f"Names in another case were taken for VOC's classes: {counted(matched.items())}.")
    if unknown:
        total = number_of(sum(unknown.values()), "object")
        notes.append(
            f"{total} of other classes left out: {counted(unknown.items())}. `--classes auto` takes all classes "
            "that the annotations name, `--classes NAME,NAME` those that you name."
        )
    return notes
