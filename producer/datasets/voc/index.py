"""Files below a folder, found by the names that annotations and lists give them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from unitscope.images.formats import NOT_READ, SUFFIXES
from unitscope.spelling import nfc

ANNOTATION = ".xml"


class Index:
    """Paths relative to a folder, found by path or name, with or without a suffix.

    A name that is written in another case, or with accents as separate characters (NFD), is the same name, unless
    a file has exactly that name.

    Parameters
    ----------
    paths
        Relative POSIX paths.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self.paths = sorted(paths)
        self._named: dict[str, list[str]] = {}
        self._stems: dict[str, list[str]] = {}
        for path in self.paths:
            for table, key in ((self._named, path), (self._stems, stem_of(path))):
                name = PurePosixPath(key).name
                for written in {key, name, folded(key), folded(name)}:
                    table.setdefault(written, []).append(path)

    def named(self, name: str, near: str = "") -> str | None:
        """Return the path of the file with this path or name; ``near`` is the folder to prefer among several."""
        return _chosen(self._named, name, near)

    def with_stem(self, stem: str, near: str = "") -> str | None:
        """Return the path of the file with this path or name, which is given without its suffix."""
        return _chosen(self._stems, stem, near)


def stem_of(path: str) -> str:
    """Return a path without the suffix of an image or an annotation; other suffixes are part of the name."""
    suffix = PurePosixPath(path).suffix
    return path[: -len(suffix)] if suffix.lower() in {*SUFFIXES, *NOT_READ, ANNOTATION} else path


def folded(name: str) -> str:
    """Return a name in the form in which names are compared whatever their case and normal form."""
    return nfc(nfc(name).casefold())


def _chosen(table: dict[str, list[str]], key: str, near: str) -> str | None:
    for written in (key, folded(key)):
        paths = table.get(written, [])
        beside = [path for path in paths if PurePosixPath(path).parent == PurePosixPath(near)]
        top = [path for path in paths if "/" not in path]
        for candidates in (beside, top, paths):
            if candidates:
                # Several files of one name in other folders: which one is meant can't be known.
                return candidates[0] if candidates is not paths or len(paths) == 1 else None
    return None
