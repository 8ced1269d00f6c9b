"""Files of boxes: where the parts of images are. They come from outside and may be hostile or damaged."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.errors import UsageError

LARGEST_FILE = 10 * 2**20  # bytes
MOST_BOXES = 100_000
LONGEST_TEXT = 1000  # characters of a path, and of a part's name a tenth of it
SIDES = ("left", "top", "right", "bottom")
NEEDED = ("image", "part", *SIDES)
LARGEST_SIDE = 1e6  # pixels


@dataclass(frozen=True)
class FileBox:
    """A box of a part, as the file has it: ``where`` is its line or entry, ``object_number`` None if not given."""

    where: str
    image: str
    object_number: int | None
    part: str
    box: tuple[float, float, float, float]


def read_boxes(path: Path) -> list[FileBox]:
    """Read a file of boxes.

    A CSV file has a heading with the columns image, part, left, top, right, bottom, and optionally object. A JSON
    file is a list of objects with these names.

    Raises
    ------
    UsageError
        the file can't be read, or an entry is not valid; the message names it.
    """
    try:
        if not path.is_file():
            raise UsageError(reason=f"--boxes: there is no file {path}.")
        if path.stat().st_size > LARGEST_FILE:
            raise UsageError(reason=f"--boxes: {path} is larger than {LARGEST_FILE // 2**20} MB.")
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(reason=f"--boxes: {path} is not UTF-8 text.") from None
    except OSError as error:
        raise UsageError(reason=f"--boxes: {path} can't be read: {error.strerror or error}.") from error
    entries = _json_entries(path, text) if text.lstrip()[:1] in ("[", "{") else _csv_entries(path, text)
    boxes: list[FileBox] = []
    for where, entry in entries:
        if len(boxes) >= MOST_BOXES:
            raise UsageError(reason=f"--boxes: {path} has more than {MOST_BOXES:,} boxes.")
        try:
            boxes.append(_box(where, entry))
        except ValueError as error:
            raise UsageError(reason=f"--boxes: {path}, {where}: {error}.") from error
    if not boxes:
        raise UsageError(reason=f"--boxes: {path} has no boxes.")
    return boxes


def _json_entries(path: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits are a ValueError, too
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UsageError(reason=f"--boxes: {path} is not JSON: {reason[:200]}.") from error
    if not isinstance(entries, list):
        raise UsageError(reason=f"--boxes: {path} is not a list of boxes: write [{{...}}, ...].")
    for number, entry in enumerate(entries, start=1):
        yield f"entry {number}", entry if isinstance(entry, dict) else {}


def _csv_entries(path: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        heading = [(name or "").strip().lower() for name in reader.fieldnames or []]
        if missing := [name for name in NEEDED if name not in heading]:
            raise UsageError(
                reason=f"--boxes: {path} lacks the columns {', '.join(missing)}. Its first line must name "
                f"{', '.join(NEEDED)}, and optionally object."
            )
        if len(set(heading)) < len(heading):
            raise UsageError(reason=f"--boxes: {path} names a column twice.")
        reader.fieldnames = heading
        for row in reader:
            yield f"line {reader.line_num}", row
    except csv.Error as error:
        raise UsageError(reason=f"--boxes: {path}, line {reader.line_num}: {error}.") from error


def _box(where: str, entry: dict[str, Any]) -> FileBox:
    """Return an entry as a box.

    Raises
    ------
    ValueError
    """
    if missing := [name for name in NEEDED if entry.get(name) is None]:
        raise ValueError(f"it has no {', '.join(missing)}")
    left, top, right, bottom = (_side(name, entry[name]) for name in SIDES)
    if right <= left or bottom <= top:
        raise ValueError(f"the box {left:g}, {top:g}, {right:g}, {bottom:g} has no area")
    return FileBox(
        where,
        _name("image", entry["image"], LONGEST_TEXT),
        _object_number(entry.get("object")),
        _name("part", entry["part"], LONGEST_TEXT // 10),
        (left, top, right, bottom),
    )


def _side(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{name} is not a number")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise ValueError(f"{name} is {str(value)[:30]!r}, which is not a number") from None
    if not math.isfinite(number) or abs(number) > LARGEST_SIDE:
        raise ValueError(f"{name} is {number:g}, which is not the side of a box")
    return number


def _name(name: str, value: Any, most: int) -> str:
    text = value.strip() if isinstance(value, str) else ""
    if not text or len(text) > most or not text.isprintable():
        raise ValueError(f"{name} must be a text of 1 to {most} printable characters")
    return text


def _object_number(value: Any) -> int | None:
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit() and len(value) < 10:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9:
        return value
    raise ValueError("object must be the number of an object in its image")
