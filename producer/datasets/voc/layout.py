"""Where a data set in VOC's format has its annotations, images and lists.

VOC's own layout is ``VOCdevkit/VOC2007/{Annotations,JPEGImages,ImageSets}``. Annotation tools leave others: the
folders of a year without the year, ``images`` and ``annotations``, XML files beside the images, and either of them
inside ``train``, ``valid`` and ``test``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from producer.datasets.notes import first_of
from producer.datasets.scan import existing_folder
from producer.datasets.voc.index import ANNOTATION, Index
from shared.errors import NotADataset
from unitscope.images.files import IGNORED_FOLDERS, Listing, list_folder
from unitscope.images.formats import SUFFIXES
from unitscope.images.splits import split_of

YEAR = re.compile(r"VOC(\d{4})")
ANNOTATION_FOLDERS = ("annotations", "annotation", "xml", "xmls", "labels")
IMAGE_FOLDERS = ("jpegimages", "images", "image", "imgs", "img", "photos")
WRAPPERS = 3  # folders that hold nothing but the data set: `archive/VOCdevkit/VOC2007`


@dataclass(frozen=True)
class Part:
    """A year's folder, a split's folder, or the only part of a data set."""

    name: str  # path relative to the base, "" for the base itself
    annotations: str  # folder relative to the base
    images: str
    lists: Path | None  # the folder ImageSets
    split: str | None  # the split that the folder is
    annotation_index: Index
    image_index: Index
    pictures: list[str]  # the files that are images, relative to the folder of images
    loops: list[str]  # links to a folder that contains them, relative to the base


@dataclass(frozen=True)
class Layout:
    """The folder that image paths are relative to, and its parts."""

    base: Path
    parts: list[Part]

    @property
    def years(self) -> list[str]:
        """The years of the parts that are a year's folder."""
        return [match[1] for part in self.parts if (match := YEAR.fullmatch(part.name))]


def find_layout(root: Path, years: tuple[str, ...] | None) -> Layout:
    """Find the parts of a data set.

    Parameters
    ----------
    root
        The data set's folder, its parent, or a year's folder.
    years
        The years to include; None for all that exist.

    Raises
    ------
    NotADataset
    """
    names = [f"VOC{year}" for year in years or ("2007", "2012")]
    reason = f"it is not an existing folder; give the one that holds {' or '.join(names)}"
    given = Path(os.path.abspath(root))
    root = existing_folder(root, "voc", reason)
    if YEAR.fullmatch(given.name) and not YEAR.fullmatch(root.name):  # a link to a folder of another name
        root = existing_folder(given.parent, "voc") / given.name
    try:
        layout = _layout(root, years, WRAPPERS)
        if layout is None and years is None and (part := _flat(root, root)):
            layout = Layout(root, [part])
    except OSError as error:
        raise NotADataset(root=root, kind="voc", reason=f"{error.filename}: {error.strerror}") from error
    if layout is None:
        raise NotADataset(root=root, kind="voc", reason=_reason(root, names, years is not None))
    return layout


def child(folder: Path, *names: str) -> Path | None:
    """Return the subfolder with the first of these names that exists, whatever its case."""
    found = {entry.name: entry for entry in _subfolders(folder)}
    lower = {name.lower(): entry for name, entry in sorted(found.items(), reverse=True)}
    return next((entry for name in names if (entry := found.get(name) or lower.get(name.lower()))), None)


def _layout(root: Path, years: tuple[str, ...] | None, wrappers: int) -> Layout | None:
    if layout := _years(root, years):
        return layout
    if years is not None:
        return _wrapped(root, years, wrappers)
    for base in filter(None, (root, child(root, "VOCdevkit"), child(root, "VOC"))):
        if part := _part(base, base):
            return Layout(base, [part])
        divided = [
            part
            for folder in _subfolders(base)
            if (split := split_of(folder.name))
            and (part := _part(base, folder, split) or _flat(base, folder, split))
        ]
        if divided:
            return Layout(base, divided)
    return _wrapped(root, years, wrappers)


def _years(root: Path, years: tuple[str, ...] | None) -> Layout | None:
    """Return the layout of ``VOCdevkit``, if it is ``root``, in ``root``, or its parent."""
    bases = [root, child(root, "VOCdevkit")] + ([root.parent] if YEAR.fullmatch(root.name) else [])
    for base in filter(None, bases):
        parts = []
        for folder in [root] if base == root.parent else _subfolders(base):
            match = YEAR.fullmatch(folder.name)
            if match and (years is None or match[1] in years) and (part := _part(base, folder)):
                parts.append(part)
        if parts and (years is None or len(parts) == len(set(years))):
            return Layout(base, parts)
    return None


def _wrapped(root: Path, years: tuple[str, ...] | None, wrappers: int) -> Layout | None:
    """Return the layout of the only data set further below, at most ``wrappers`` folders."""
    if not wrappers or any(entry.suffix.lower() == ANNOTATION for entry in root.iterdir()):
        return None
    layouts = [layout for inner in _subfolders(root) if (layout := _layout(inner, years, wrappers - 1))]
    if len(layouts) > 1 and any(part.lists for layout in layouts for part in layout.parts):
        bases = first_of([os.path.relpath(layout.base, root) for layout in layouts])
        raise NotADataset(root=root, kind="voc", reason=f"it has several data sets: give one of {bases}")
    return layouts[0] if len(layouts) == 1 else None


def _part(base: Path, folder: Path, split: str | None = None) -> Part | None:
    """Return the part in a folder that has a folder of annotations."""
    annotations = child(folder, "Annotations", *ANNOTATION_FOLDERS)
    if annotations is None:
        return None
    images = child(folder, "JPEGImages", *IMAGE_FOLDERS)
    if images is None and any(entry.suffix.lower() in SUFFIXES for entry in folder.iterdir()):
        images = folder
    if images is None and folder == base and not YEAR.fullmatch(folder.name):
        return None  # a split's folder may be called `annotations`, too
    return _indexed(base, folder, annotations, images or folder / "JPEGImages", child(folder, "ImageSets"), split)


def _flat(base: Path, folder: Path, split: str | None = None) -> Part | None:
    """Return the part in a folder that has images and, beside them or further below, annotations."""
    part = _indexed(base, folder, folder, folder, None, split)
    return part if part.annotation_index.paths and part.pictures else None


def _indexed(
    base: Path, folder: Path, annotations: Path, images: Path, lists: Path | None, split: str | None
) -> Part:
    """Return a part with the indices of its annotations and its images."""
    files = {place: list_folder(place) if place.is_dir() else Listing() for place in (annotations, images)}
    loops = {f"{_relative(place, base)}/{path}" for place, listing in files.items() for path in listing.loops}
    return Part(
        name=_relative(folder, base),
        annotations=_relative(annotations, base),
        images=_relative(images, base),
        lists=lists,
        split=split,
        annotation_index=Index(path for path in _all(files[annotations]) if path.lower().endswith(ANNOTATION)),
        image_index=Index(path for path in _all(files[images]) if not path.lower().endswith(ANNOTATION)),
        pictures=files[images].images,
        loops=sorted(path.removeprefix("/") for path in loops),
    )


def _all(listing: Listing) -> list[str]:
    return listing.images + listing.others + listing.dangling


def _relative(folder: Path, base: Path) -> str:
    relative = folder.relative_to(base).as_posix()
    return "" if relative == "." else relative


def _subfolders(folder: Path) -> list[Path]:
    return sorted(_each_subfolder(folder)) if folder.is_dir() else []


def _each_subfolder(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if not entry.name.startswith(".") and entry.name.lower() not in IGNORED_FOLDERS and entry.is_dir():
            yield entry


def _reason(root: Path, names: list[str], chosen: bool) -> str:
    if root.name.lower() in ("annotations", "jpegimages", "imagesets"):
        return f"give {root.parent}, the folder that holds Annotations and JPEGImages"
    if chosen:
        return f"it has no folder {' or '.join(names)} with Annotations"
    return (
        f"it has no folder {' or '.join(names)} with Annotations, no folders `annotations` and `images`, and no "
        "XML files beside images"
    )
