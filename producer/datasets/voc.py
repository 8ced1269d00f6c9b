"""PASCAL VOC: objects cut out by their boxes (as the published replications do), or whole images.

VOC's boxes count pixels from 1 and include their last row and column.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from xml.parsers.expat import ExpatError

import xmltodict

from producer.datasets.scan import BrokenFile, ScannedFile, complete, existing_folder, scan_files
from shared.database.catalogue import FoundDataset, FoundImage, Problem
from shared.errors import NotADataset

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
YEARS = ("2007", "2012")
LARGEST_ANNOTATION = 2**20  # bytes
LARGEST_LIST = 64 * 2**20  # bytes; VOC's own split lists have at most 200 KB
ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class _Object:
    number: int
    name: str
    box: tuple[int, int, int, int] | None  # from 0, right and bottom exclusive; None: it could not be read


class _BadAnnotation(Exception):
    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def read_voc(
    root: Path,
    *,
    kind: str = "voc",
    years: tuple[str, ...] | None = None,
    splits: tuple[str, ...] | None = None,
    whole: bool = False,
    difficult: bool = False,
    classes: tuple[str, ...] | None = None,
    upright: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> FoundDataset:
    """Read a VOC data set.

    Parameters
    ----------
    root
        ``VOCdevkit``, its parent, or a year's folder (``VOC2007``).
    years, splits
        Years and splits to include; None for all that exist. A split is a list in ``ImageSets/Main``.
    whole
        Read whole images instead of objects; the class is that of the largest object.
    difficult
        Include objects marked as difficult.
    classes
        Class names in the order of their indices; None for VOC's 20 classes.
    upright
        Turn images as their EXIF orientation says.
    progress
        Called with (files read, files in total).

    Raises
    ------
    NotADataset
        ``root`` has no such year or list. An error in a single image or object is added to the problems instead.
    """
    base, folders = _year_folders(root, years)
    names = list(classes or VOC_CLASSES)
    found = FoundDataset(
        kind, str(base), {"years": [f.name[3:] for f in folders], "whole": whole, "difficult": difficult}, names
    )
    members = _split_members(base, folders, splits, found)
    annotated: dict[str, tuple[str, list[_Object]]] = {}
    taken: dict[str, str] = {}  # image -> its annotation
    for annotation, (year_folder, _) in members.items():
        try:
            path, objects = _read_annotation(base, annotation, year_folder, difficult)
            if first := taken.get(path):
                raise _BadAnnotation("image annotated twice", f"{path}, first in {first}")
            taken[path] = annotation
            annotated[annotation] = path, objects
        except _BadAnnotation as bad:
            found.problems.append(Problem(annotation, 0, bad.reason, bad.detail))
    files = sorted({path for path, _ in annotated.values()})
    done = iter(range(1, len(files) + 1))
    scanned = scan_files(base, files, lambda _: progress(next(done), len(files)), upright=upright)
    for annotation, (path, objects) in annotated.items():
        image = scanned[path]
        if isinstance(image, BrokenFile):
            found.problems.append(Problem(path, 0, image.reason, image.detail))
        else:
            usable = _usable(found, path, image, objects)
            _add(found, path, image, usable, tuple(sorted(members[annotation][1])), whole)
    complete(found, scanned, upright=upright)
    return found


def _year_folders(root: Path, years: tuple[str, ...] | None) -> tuple[Path, list[Path]]:
    """Return the path of ``VOCdevkit``, and the folders of its years."""
    year_names = [f"VOC{year}" for year in years or YEARS]
    given = Path(os.path.abspath(root))
    root = existing_folder(root, "voc", "it is not an existing folder; give the one that holds VOC2007 or VOC2012")
    if given.name in year_names and root.name not in year_names:  # a link to a folder of another name
        root = existing_folder(given.parent, "voc") / given.name
    for base in (root, root / "VOCdevkit", root.parent):
        if base == root.parent and root.name not in year_names:
            continue
        folders = [base / name for name in year_names if (base / name / "Annotations").is_dir()]
        if base == root.parent:
            folders = [folder for folder in folders if folder.name == root.name]
        if folders and (years is None or len(folders) == len(year_names)):
            return base, folders
    raise NotADataset(root=root, kind="voc", reason=f"it has no folder {' or '.join(year_names)} with Annotations")


def _split_members(
    base: Path, folders: list[Path], splits: tuple[str, ...] | None, found: FoundDataset
) -> dict[str, tuple[Path, set[str]]]:
    """Return (the year's folder, the splits) by annotation path (relative to ``base``), sorted by path."""
    members: dict[str, tuple[Path, set[str]]] = {}
    for folder in folders:
        lists = folder / "ImageSets" / "Main"
        # Lists per class (aeroplane_train.txt) repeat the others with a flag, so they are read only on request.
        names = splits or sorted(
            p.stem for p in lists.glob("*.txt") if "_" not in p.stem and ID.fullmatch(p.stem) and p.is_file()
        )
        if not names:
            raise NotADataset(root=base, kind="voc", reason=f"{lists} has no split list")
        found.options["splits"] = sorted({*names, *found.options.get("splits", ())})  # empty ones too
        for split in names:
            file = lists / f"{split}.txt"
            if not ID.fullmatch(split) or not file.is_file():
                raise NotADataset(root=base, kind="voc", reason=f"there is no split list {file}")
            if file.stat().st_size > LARGEST_LIST:
                raise NotADataset(root=base, kind="voc", reason=f"the split list {file} is larger than 64 MB")
            for image_id in _listed(file):
                if not ID.fullmatch(image_id):
                    found.problems.append(Problem(str(file.relative_to(base)), 0, "bad image id", image_id[:200]))
                    continue
                annotation = f"{folder.name}/Annotations/{image_id}.xml"
                members.setdefault(annotation, (folder, set()))[1].add(split)
    return dict(sorted(members.items()))


def _listed(file: Path) -> Iterator[str]:
    """Iterate over the ids of a split list; in a list per class, only over those flagged 1."""
    content = file.read_text(errors="replace") if file.stat().st_size else ""
    for line in content.splitlines():
        fields = line.split()
        if fields and (len(fields) == 1 or fields[1] == "1"):
            yield fields[0]


def _read_annotation(base: Path, annotation: str, year_folder: Path, difficult: bool) -> tuple[str, list[_Object]]:
    """Return the image's path (relative to ``base``) and the objects of an annotation."""
    file = base / annotation
    try:
        if not file.is_file():
            raise _BadAnnotation("missing annotation", annotation)
        if (size := file.stat().st_size) > LARGEST_ANNOTATION:
            raise _BadAnnotation("broken annotation", f"{size} bytes are too many")
        content = file.read_bytes() if size else b""  # a link into /proc could hold the reader up for ever
    except OSError as error:  # without the right to read it
        raise _BadAnnotation("missing annotation", error.strerror or str(error)) from error
    try:
        # xmltodict refuses entities. With force_list, a single object is a list, too.
        parsed = xmltodict.parse(content, force_list=("object",))
    except (ExpatError, ValueError, RecursionError, LookupError) as error:
        raise _BadAnnotation("broken annotation", str(error)) from error
    element = parsed.get("annotation")
    if not isinstance(element, dict):
        raise _BadAnnotation("broken annotation", "there is no <annotation>")
    filename = element.get("filename") or f"{file.stem}.jpg"
    if not isinstance(filename, str) or PurePosixPath(filename).name != filename or "\\" in filename:
        # Markup is not quoted: it could be nested too deeply to be printed.
        shown = filename[:200] if isinstance(filename, str) else "the file name is markup"
        raise _BadAnnotation("path outside the data set", shown)
    objects = element.get("object") or []
    read = [
        _read_object(number, item)
        for number, item in enumerate(objects, start=1)
        if difficult or not _is_difficult(item)
    ]
    return f"{year_folder.name}/JPEGImages/{filename}", read


def _is_difficult(item: Any) -> bool:
    flag = item.get("difficult") if isinstance(item, dict) else None
    return isinstance(flag, str) and flag.strip() == "1"


def _read_object(number: int, item: Any) -> _Object:
    """Parse an object. Its box is checked later, against the size of the image."""
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        return _Object(number, "", None)
    box = item.get("bndbox")
    try:
        corners = [float(box[side]) for side in ("xmin", "ymin", "xmax", "ymax")]  # type: ignore[index]
        if not all(math.isfinite(corner) and abs(corner) < 1e9 for corner in corners):
            raise ValueError
    except (KeyError, TypeError, ValueError):
        return _Object(number, item["name"], None)
    xmin, ymin, xmax, ymax = (round(corner) for corner in corners)
    return _Object(number, item["name"], (xmin - 1, ymin - 1, xmax, ymax))


def _usable(found: FoundDataset, path: str, image: ScannedFile, objects: list[_Object]) -> list[_Object]:
    """Return the objects with a known class and a box inside the image, and add the others to the problems."""
    usable = []
    for item in objects:
        left, top, right, bottom = item.box or (0, 0, 0, 0)
        if item.name not in found.class_names:
            problem = ("unknown class", item.name[:200])
        elif item.box is None:
            problem = ("invalid box", "not four numbers")
        elif right <= left or bottom <= top:
            problem = ("box without area", f"{item.box}")
        elif left < 0 or top < 0 or right > image.width or bottom > image.height:
            problem = ("box outside the image", f"{item.box} in {image.width} x {image.height}")
        else:
            usable.append(item)
            continue
        found.problems.append(Problem(path, item.number, *problem))
    return usable


def _area(item: _Object) -> int:
    left, top, right, bottom = item.box or (0, 0, 0, 0)
    return (right - left) * (bottom - top)


def _add(
    found: FoundDataset,
    path: str,
    image: ScannedFile,
    objects: list[_Object],
    splits: tuple[str, ...],
    whole: bool,
) -> None:
    if whole and objects:
        largest = max(objects, key=_area)
        objects = [_Object(0, largest.name, (0, 0, image.width, image.height))]
    for item in objects:
        found.images.append(
            FoundImage(
                path=path,
                object_number=item.number,
                class_index=found.class_names.index(item.name),
                class_name=item.name,
                width=image.width,
                height=image.height,
                box=None if whole else item.box,
                sha256=image.sha256,
                splits=splits,
            )
        )
