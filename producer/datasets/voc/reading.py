"""Reading of a data set in PASCAL VOC's format: objects cut out by their boxes, or whole images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from producer.datasets.hashed import HASHED, note_empty_split
from producer.datasets.notes import first_of, number_of
from producer.datasets.scan import BrokenFile, Scanned, ScannedFile, complete, scan_files
from producer.datasets.voc.annotations import AnnotatedObject, BadAnnotation, read_annotation
from producer.datasets.voc.boxes import (
    FROM_0,
    FROM_1,
    Box,
    UnusableObject,
    box_of,
    fitted,
    is_relative,
    sides_at_0_and_1,
)
from producer.datasets.voc.classes import AUTO, VOC_CLASSES, classes_of, known_class, notes_on_classes
from producer.datasets.voc.layout import find_layout
from producer.datasets.voc.members import Member, leave_out_images_without_annotation, members_of
from producer.datasets.voc.orientation import Frames, Size
from producer.datasets.voc.pairing import Pair, image_of, is_own
from shared.database.catalogue import FoundDataset, FoundImage, Problem
from unitscope.images.orientation import SIDEWAYS


@dataclass(frozen=True)
class _Annotated:
    """An annotated image (path relative to the base), and its stated size and objects."""

    image: str
    size: Size | None
    objects: list[AnnotatedObject]
    splits: tuple[str, ...]


@dataclass(frozen=True)
class _Located:
    """A usable object."""

    number: int
    class_name: str
    box: Box


def read_voc(
    root: Path,
    *,
    kind: str = "voc",
    years: tuple[str, ...] | None = None,
    splits: tuple[str, ...] | None = None,
    whole: bool = False,
    difficult: bool = False,
    classes: str | tuple[str, ...] | None = None,
    boxes: str | None = None,
    upright: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> FoundDataset:
    """Read a data set in VOC's format.

    Parameters
    ----------
    root
        ``VOCdevkit``, its parent, a year's folder (``VOC2007``), or a folder as annotation tools leave it.
    years, splits
        Years and splits to include; None for all that exist. A split is a list in ``ImageSets``, or a folder.
    whole
        Read whole images instead of objects; the class is that of the largest object.
    difficult
        Include objects marked as difficult.
    classes
        Class names in the order of their indices; ``auto`` for those in the annotations; None for VOC's 20
        classes, or as ``auto`` if none of them occurs.
    boxes
        Whether boxes count pixels ``from-0`` or ``from-1``; None to recognise it.
    upright
        Turn images, and their boxes with them, as their EXIF orientation says.
    progress
        Called with (files read, files in total).

    Raises
    ------
    NotADataset
        ``root`` has no such year or split. An error in a single image or object is added to the problems instead.
    """
    layout = find_layout(root, years)
    options = {"years": layout.years, "whole": whole, "difficult": difficult}
    found = FoundDataset(kind, str(layout.base), options, [])
    known = {*VOC_CLASSES, *(classes if isinstance(classes, tuple) else ())}
    members = members_of(layout, splits, known, found)
    annotated = _annotated(found, members, difficult)
    if splits is None:
        leave_out_images_without_annotation(layout, {item.image for item in annotated}, found)
    _choose_classes(found, annotated, classes)
    origin = _origin(found, annotated, boxes)

    files = sorted({item.image for item in annotated})
    done = iter(range(1, len(files) + 1))
    scanned = scan_files(layout.base, files, lambda _: progress(next(done), len(files)), upright=upright)
    frames = Frames([(item.size, scanned[item.image]) for item in annotated], upright)
    _note_other_sizes(found, annotated, scanned, upright)
    clipped: list[str] = []
    for item in annotated:
        image = scanned[item.image]
        if isinstance(image, BrokenFile):
            found.problems.append(Problem(item.image, 0, image.reason, image.detail))
        else:
            _add(found, item, image, _located(found, item, image, origin, frames, clipped), whole)
    _note_lists_without_images(found)
    note_empty_split(
        found,
        "write lists ImageSets/Main/train.txt and val.txt, or move images and annotations into train and val",
    )
    if clipped:
        boxes_were = number_of(len(clipped), "box was", "boxes were")
        found.notes.append(f"{boxes_were} one pixel over the edge of the image and clipped: {first_of(clipped)}.")
    complete(found, scanned, upright=upright)
    return found


def _annotated(found: FoundDataset, members: dict[str, Member], difficult: bool) -> list[_Annotated]:
    """Read the annotations and find their images, in the order of the annotations."""
    base = Path(found.root)
    annotations, pairs = {}, {}
    for path, member in members.items():
        try:
            annotations[path] = read_annotation(base, path)
            pairs[path] = image_of(member.part, path, annotations[path].filename)
        except BadAnnotation as bad:
            found.problems.append(Problem(path, 0, bad.reason, bad.detail))
    owners: dict[str, str] = {}  # image -> the annotation of its name, or the first that refers to it
    for path, pair in sorted(pairs.items(), key=lambda item: not is_own(item[0], item[1].image)):
        owners.setdefault(pair.image, path)
    annotated = []
    for path, pair in pairs.items():
        if (owner := owners[pair.image]) != path:
            detail = f"{pair.image}, first in {owner}"
            found.problems.append(Problem(path, 0, "image annotated twice", detail))
        elif splits := members[path].splits_of(pair.image):
            objects = [item for item in annotations[path].objects if difficult or not item.difficult]
            annotated.append(_Annotated(pair.image, annotations[path].size, objects, splits))
    _note_images_of_other_names(found, pairs, owners)
    _note_objects_left_out(
        found, annotated, sum(item.difficult for a in annotations.values() for item in a.objects)
    )
    return annotated


def _note_images_of_other_names(found: FoundDataset, pairs: dict[str, Pair], owners: dict[str, str]) -> None:
    others = [
        f"{Path(path).name} -> {Path(pair.image).name}"
        for path, pair in pairs.items()
        if not pair.is_as_stated and owners[pair.image] == path
    ]
    if others:
        found.notes.append(
            f"{number_of(len(others), 'annotation states', 'annotations state')} another file name than that of "
            f"the image that was taken for it: {first_of(others)}."
        )


def _note_objects_left_out(found: FoundDataset, annotated: list[_Annotated], difficult: int) -> None:
    if difficult and not found.options["difficult"]:
        objects_are = number_of(difficult, "object is", "objects are")
        found.notes.append(f"{objects_are} left out as difficult (--difficult includes them).")
    if empty := [item.image for item in annotated if not item.objects]:
        found.notes.append(f"{number_of(len(empty), 'image has', 'images have')} no object: {first_of(empty)}.")


def _note_other_sizes(
    found: FoundDataset, annotated: list[_Annotated], scanned: Mapping[str, Scanned], upright: bool
) -> None:
    """Say which images have not the size that their annotation states: resized or other images, or turned ones
    that are used as stored (without ``upright``).
    """
    others = []
    for item in annotated:
        file = scanned[item.image]
        if item.size and isinstance(file, ScannedFile):
            stored = file.stored_width, file.stored_height
            is_turned = upright and file.orientation in SIDEWAYS and item.size == stored[::-1]
            if item.size != stored and not is_turned:
                others.append(f"{item.image} ({stored[0]} x {stored[1]}, not {item.size[0]} x {item.size[1]})")
    if others:
        images_have = number_of(len(others), "image has", "images have")
        found.notes.append(
            f"{images_have} another size than the annotation states, so boxes may be in the wrong place: "
            f"{first_of(others)}."
        )


def _note_lists_without_images(found: FoundDataset) -> None:
    used = {split for image in found.images for split in image.splits}
    empty = [split for split in found.options["splits"] if split not in used]
    if found.images and empty and found.options["splits"] != list(HASHED):
        splits_have = number_of(len(empty), "split has", "splits have")
        found.notes.append(f"{splits_have} no usable image: {first_of(empty)}.")


def _choose_classes(found: FoundDataset, annotated: list[_Annotated], given: str | tuple[str, ...] | None) -> None:
    counts = Counter(item.name for image in annotated for item in image.objects)
    found.class_names, is_auto = classes_of(counts, given)
    found.notes += notes_on_classes(counts, found.class_names, given, is_auto)
    if is_auto:
        found.options["classes"] = AUTO


def _origin(found: FoundDataset, annotated: list[_Annotated], chosen: str | None) -> str:
    """Return from where boxes count; if it is not chosen, from 0 if more left and upper sides are at 0 than at 1.

    VOC's own annotations have none at 0, and objects that touch the edge are frequent. The note is also made of a
    chosen origin: an update passes on what was recognised before.
    """
    zeros, ones = sides_at_0_and_1(item.corners for image in annotated for item in image.objects)
    origin = chosen or (FROM_0 if zeros > ones else FROM_1)
    if origin == FROM_1:
        return FROM_1
    found.options["boxes"] = FROM_0
    sides = number_of(zeros, "left or upper side")
    found.notes.append(
        f"Boxes count from 0, not from 1 as VOC's do: {sides} at 0, {ones} at 1 (--boxes from-1 if that is wrong)."
    )
    return FROM_0


def _located(
    found: FoundDataset, item: _Annotated, image: ScannedFile, origin: str, frames: Frames, clipped: list[str]
) -> list[_Located]:
    """Return the objects with a known class and a box inside the image, and add the others to the problems."""
    stated = {thing.number: box_of(thing.corners, origin) for thing in item.objects if thing.corners}
    is_stored = frames.is_stored(item.size, image, list(stated.values()))
    size = (image.stored_width, image.stored_height) if is_stored else (image.width, image.height)
    located = []
    for thing in item.objects:
        try:
            class_name = known_class(thing.name, found.class_names)
            if class_name is None:
                raise UnusableObject("unknown class", thing.name[:200])
            if thing.corners is None:
                raise UnusableObject("invalid box", "not four numbers")
            if is_relative(thing.corners):
                raise UnusableObject("invalid box", "fractions of the image's size, not pixels")
            box = fitted(stated[thing.number], *size)
        except UnusableObject as bad:
            found.problems.append(Problem(item.image, thing.number, bad.reason, bad.detail))
            continue
        if box != stated[thing.number]:
            clipped.append(f"{item.image} object {thing.number}")
        located.append(_Located(thing.number, class_name, frames.box(box, image, is_stored)))
    return located


def _area(item: _Located) -> int:
    left, top, right, bottom = item.box
    return (right - left) * (bottom - top)


def _add(found: FoundDataset, item: _Annotated, image: ScannedFile, objects: list[_Located], whole: bool) -> None:
    if whole and objects:
        objects = [max(objects, key=_area)]
    for located in objects:
        found.images.append(
            FoundImage(
                path=item.image,
                object_number=0 if whole else located.number,
                class_index=found.class_names.index(located.class_name),
                class_name=located.class_name,
                width=image.width,
                height=image.height,
                box=None if whole else located.box,
                sha256=image.sha256,
                splits=item.splits,
            )
        )
