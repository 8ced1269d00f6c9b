"""Reading of annotation files, which may be hostile or damaged."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

import xmltodict

from unitscope.spelling import nfc

LARGEST_ANNOTATION = 2**20  # bytes
DECLARATION = re.compile(rb"""\s*<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)["'][^>]*\?>""")
# The parser knows no encodings of several bytes but UTF-8 and UTF-16. Each is decoded by its largest superset:
# files that say gb2312 often have characters that only gbk has.
RECODED = {
    **dict.fromkeys(("gb2312", "gb-2312", "euc-cn", "gbk", "cp936", "ms936", "gb18030"), "gb18030"),
    **dict.fromkeys(("big5", "big-5", "cp950"), "cp950"),
    **dict.fromkeys(("big5-hkscs", "big5hkscs"), "big5hkscs"),
    **dict.fromkeys(("shift-jis", "sjis", "x-sjis", "ms-kanji", "cp932", "windows-31j"), "cp932"),
    **dict.fromkeys(("euc-jp", "eucjp"), "euc_jp"),
    **dict.fromkeys(("euc-kr", "euckr", "ks-c-5601-1987", "cp949", "ms949", "uhc"), "cp949"),
    **dict.fromkeys(("utf-8", "utf8"), "utf-8"),
}
UNREADABLE = "\ufffd"

Corners = tuple[float, float, float, float]  # xmin, ymin, xmax, ymax as they are written


@dataclass(frozen=True)
class AnnotatedPart:
    """A part of an object, such as a head: its name, and its corners, None if unreadable."""

    name: str
    corners: Corners | None


@dataclass(frozen=True)
class AnnotatedObject:
    """An object: its number in the file (from 1), the name of its class, its corners, None if unreadable, and its
    parts."""

    number: int
    name: str
    corners: Corners | None
    difficult: bool
    parts: tuple[AnnotatedPart, ...] = ()


@dataclass(frozen=True)
class Annotation:
    """The content of an annotation file: the name of its image, its size [width, height], and its objects."""

    filename: str | None
    size: tuple[int, int] | None
    objects: tuple[AnnotatedObject, ...]


class BadAnnotation(Exception):
    """An annotation can't be used: ``reason`` is a short code, ``detail`` describes the problem."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def read_annotation(base: Path, path: str) -> Annotation:
    """Read an annotation file (path relative to ``base``).

    Raises
    ------
    BadAnnotation
    """
    file = base / path
    try:
        if not file.is_file():
            raise BadAnnotation("missing annotation", path)
        if (size := file.stat().st_size) > LARGEST_ANNOTATION:
            raise BadAnnotation("broken annotation", f"{size} bytes are too many")
        content = file.read_bytes() if size else b""  # a link into /proc could hold the reader up for ever
    except OSError as error:  # without the right to read it
        raise BadAnnotation("missing annotation", error.strerror or str(error)) from error
    return parse_annotation(content)


def parse_annotation(content: bytes) -> Annotation:
    """Parse the content of an annotation file.

    Raises
    ------
    BadAnnotation
    """
    try:
        # xmltodict refuses entities. With force_list, a single object or part is a list, too.
        parsed = xmltodict.parse(_recoded(content), force_list=("object", "part"))
    except (ExpatError, ValueError, RecursionError, LookupError) as error:
        raise BadAnnotation("broken annotation", str(error)) from error
    element = parsed.get("annotation")
    if not isinstance(element, dict):
        raise BadAnnotation("broken annotation", "there is no <annotation>")
    filename = element.get("filename")
    if filename is not None and (filename := _text(filename)) is None:
        # Markup is not quoted: it could be nested too deeply to be printed.
        raise BadAnnotation("broken annotation", "the file name is markup")
    objects = tuple(_read_object(number, item) for number, item in enumerate(element.get("object") or [], start=1))
    if any(UNREADABLE in text for text in (filename or "", *(item.name for item in objects))):
        reason = "a name is not in UTF-8, and no other encoding is declared: save the file as UTF-8"
        raise BadAnnotation("broken annotation", reason)
    return Annotation(filename, _size(element.get("size")), objects)


def normalized(name: str) -> str:
    """Return a class name as it is compared: in normal form NFC, without blanks at its ends."""
    return nfc(name.strip())


def _recoded(content: bytes) -> bytes:
    """Return the XML in an encoding that the parser knows.

    Tools on Windows write a folder's name in the system's encoding and declare none: such bytes are replaced,
    because only the file name and the names of classes are needed.
    """
    content = content.lstrip(b" \t\r\n")  # a declaration has to be at the start
    declaration = DECLARATION.match(content.removeprefix(b"\xef\xbb\xbf"))
    declared = declaration[1].decode().lower().replace("_", "-") if declaration else "utf-8"
    encoding = RECODED.get(declared)
    if encoding is None or content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise BadAnnotation(
                "broken annotation", f"it is not in the encoding it declares, {declared}"
            ) from error
        text = content.decode(encoding, errors="replace")
    if encoding == "utf-8":
        return text.encode()
    return DECLARATION.sub(b"", text.encode(), count=1)


def _read_object(number: int, item: Any) -> AnnotatedObject:
    """Parse an object. Its box is checked later, against the size of the image."""
    if not isinstance(item, dict):
        return AnnotatedObject(number, "", None, difficult=False)
    difficult = (_text(item.get("difficult")) or "").strip().lower() in ("1", "true")
    name = normalized(_text(item.get("name")) or "")
    parts = tuple(
        AnnotatedPart(normalized(_text(part.get("name")) or ""), _corners(part))
        for part in item.get("part") or []
        if isinstance(part, dict)
    )
    return AnnotatedObject(number, name, _corners(item), difficult, parts)


def _corners(item: dict[str, Any]) -> Corners | None:
    """Return the corners of an object or a part, None if they are missing or unreadable."""
    try:
        box: Any = item["bndbox"]
        xmin, ymin, xmax, ymax = (float(_text(box[side]) or "") for side in ("xmin", "ymin", "xmax", "ymax"))
        if not all(math.isfinite(corner) and abs(corner) < 1e9 for corner in (xmin, ymin, xmax, ymax)):
            raise ValueError
    except (KeyError, TypeError, ValueError):
        return None
    return xmin, ymin, xmax, ymax


def _size(element: Any) -> tuple[int, int] | None:
    """Return the width and the height that the annotation states, None without a sensible one."""
    try:
        width, height = (int(_text(element[side]) or "") for side in ("width", "height"))
    except (KeyError, TypeError, ValueError):
        return None
    return (width, height) if width > 0 and height > 0 else None


def _text(element: Any) -> str | None:
    """Return the text of an element that has no other elements in it."""
    if isinstance(element, dict) and all(key.startswith(("@", "#")) for key in element):
        element = element.get("#text")
    return element if isinstance(element, str) else None
