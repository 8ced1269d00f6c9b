"""Image files of a folder, and their division into training and validation images."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from unitscope.images.formats import is_image, is_system_file

VALIDATION_SHARE = 0.2
# Made by operating systems, network drives and notebooks. They hold thumbnails, deleted files and copies.
IGNORED_FOLDERS = {
    *("@eadir", "#recycle", "$recycle.bin", "recycler", "system volume information", "lost+found"),
    *("__macosx", "__pycache__", "thumbs"),
}


@dataclass
class Listing:
    """Content of a folder, at any depth. Paths are relative to the root, and sorted.

    ``images`` are files that are images, also those of formats that can't be read. ``others`` are files that are
    not, without those of operating systems. ``ignored`` are folders that were not looked into. ``loops`` are links
    to a folder that contains them, and ``dangling`` are links to nothing that are not named as images.
    """

    images: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    loops: list[str] = field(default_factory=list)
    dangling: list[str] = field(default_factory=list)


def image_files(root: Path, folder: Path | None = None) -> list[str]:
    """Return the image files in ``root``, or in a folder below it, at any depth, as sorted paths relative to
    ``root``.

    Files are found by the ends of their names or, where these don't tell, by their first bytes. Symbolic links to
    folders are followed, except to a folder that contains them. Names that begin with a dot (``.thumbnails``,
    ``._dog.jpg``) and folders of operating systems (``@eaDir``, ``__MACOSX``) are skipped.

    Raises
    ------
    OSError
        a folder can't be read.
    """
    return list_folder(root, folder).images


def list_folder(root: Path, folder: Path | None = None) -> Listing:
    """List ``root``, or a folder below it; see ``image_files``.

    Raises
    ------
    OSError
        a folder can't be read.
    """
    above = frozenset() if folder in (None, root) else frozenset({os.path.realpath(root)})
    listing = Listing()
    for kind, path in _walk(folder or root, above):
        getattr(listing, kind).append(path.relative_to(root).as_posix())
    for paths in vars(listing).values():
        paths.sort()
    return listing


def _walk(folder: Path, above: frozenset[str]) -> Iterator[tuple[str, Path]]:
    """Yield (name of a list of ``Listing``, path) for everything in a folder."""
    real = os.path.realpath(folder)
    for entry in os.scandir(folder):
        path = folder / entry.name
        if _is_folder(entry):
            if entry.name.startswith(".") or entry.name.lower() in IGNORED_FOLDERS:
                yield "ignored", path
            elif entry.is_symlink() and os.path.realpath(path) in above | {real}:
                yield "loops", path
            else:
                yield "folders", path
                yield from _walk(path, above | {real})
        elif is_system_file(entry.name):
            continue
        elif is_image(path):
            yield "images", path
        elif entry.is_symlink() and not path.exists():
            yield "dangling", path
        else:
            yield "others", path


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def is_validation_image(path: str) -> bool:
    """Whether an image of a data set without a division is used for validation.

    One image in five is, chosen by a hash of its path, so that the choice is the same on every machine.
    """
    number = int.from_bytes(hashlib.sha256(path.encode(errors="surrogateescape")).digest()[:4])
    return number / 2**32 < VALIDATION_SHARE
