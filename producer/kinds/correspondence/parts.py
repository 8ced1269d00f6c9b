"""The parts of the images that a request names: from a file of boxes, or from annotations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from producer.datasets.choice import ImageChoice, chosen_images
from producer.datasets.voc.parts import annotated_parts
from producer.kinds.correspondence.boxes_file import FileBox, read_boxes
from shared.database.datasets import Dataset, Image
from shared.errors import NoSuchImage, UsageError
from shared.kinds.correspondence.specification import SkippedPart
from unitscope.correspondence.boxes import input_box
from unitscope.spelling import spellings

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Parts:
    """Boxes of the parts of images, in pixels of the network's input.

    ``boxes`` are by image (its position in the data set) and part; ``named`` are the paths of images that were
    chosen one by one.
    """

    split: str | None
    boxes: dict[int, dict[str, list[Box]]]
    skipped: list[SkippedPart]
    named: dict[int, str]


def find_parts(
    session: Session, dataset: Dataset, choice: ImageChoice, boxes_file: Path | None, size: int, whole_files: bool
) -> Parts:
    """Find the parts of the chosen images.

    With a file, these are the images that it names, or those of them that are chosen. Parts of annotations that
    can't be used are skipped; a box of a file that lies outside of its image is an error.

    Raises
    ------
    NoSuchSplit, EmptySplit, NoSuchImage, UsageError
    """
    ids = list(session.scalars(select(Image.id).where(Image.dataset_id == dataset.id).order_by(Image.id)))
    number = {image: position for position, image in enumerate(ids)}
    is_chosen = bool(choice.split or choice.class_name or choice.paths or choice.ids)
    split, chosen = (None, list(range(len(ids))))
    if boxes_file is None or is_chosen:
        split, chosen = chosen_images(session, dataset, replace(choice, count=None))
    named = chosen if choice.paths or choice.ids else []
    if boxes_file is None:
        images = _images(session, [ids[position] for position in chosen])
        parts = _from_annotations(dataset, images, number, size, whole_files)
    else:
        parts = _from_file(session, dataset, boxes_file, number, size, whole_files, set(chosen))
    paths = {number[image.id]: image.path for image in _images(session, [ids[position] for position in named])}
    return replace(parts, split=split, named=paths)


def _images(session: Session, ids: Sequence[int]) -> list[Image]:
    """Return images in the order of their ids."""
    found: list[Image] = []
    for start in range(0, len(ids), 5000):
        query = select(Image).where(Image.id.in_(ids[start : start + 5000]))
        found += session.scalars(query.order_by(Image.id))
    return found


def _region(image: Image, whole_files: bool) -> tuple[int, int, int, int]:
    """Return the part of the file that is resized to the network's input: left, top, right, bottom."""
    return (0, 0, image.width, image.height) if whole_files or image.box is None else image.box


def _from_annotations(
    dataset: Dataset, images: Sequence[Image], number: dict[int, int], size: int, whole_files: bool
) -> Parts:
    found, unusable = annotated_parts(dataset, images)
    boxes: dict[int, dict[str, list[Box]]] = defaultdict(lambda: defaultdict(list))
    skipped = [_skipped(item.image, item.part, item.reason) for item in unusable]
    for item in found:
        try:
            box = input_box(item.box, _region(item.image, whole_files), size)
        except ValueError as error:
            skipped.append(_skipped(item.image, item.part, str(error)))
        else:
            boxes[number[item.image.id]][item.part].append(box)
    return Parts(None, boxes, skipped, {})


def _skipped(image: Image, part: str, reason: str) -> SkippedPart:
    return SkippedPart(path=image.path, object_number=image.object_number, part=part, reason=reason)


def _from_file(
    session: Session,
    dataset: Dataset,
    path: Path,
    number: dict[int, int],
    size: int,
    whole_files: bool,
    chosen: set[int],
) -> Parts:
    boxes: dict[int, dict[str, list[Box]]] = defaultdict(lambda: defaultdict(list))
    images: dict[str, list[Image]] = {}
    for entry in read_boxes(path):
        if entry.image not in images:
            images[entry.image] = _images_of_file(session, dataset, entry.image)
        try:
            image = _image_of(entry, images[entry.image], dataset)
            if number[image.id] in chosen:
                box = input_box(entry.box, _region(image, whole_files), size)
                boxes[number[image.id]][entry.part].append(box)
        except ValueError as error:
            raise UsageError(reason=f"--boxes: {path}, {entry.where}, {entry.image}: {error}.") from error
    return Parts(None, boxes, [], {})


def _images_of_file(session: Session, dataset: Dataset, path: str) -> list[Image]:
    """Return the images of a file, whose path is relative to the data set's root."""
    query = select(Image).where(Image.dataset_id == dataset.id, Image.path.in_(list(spellings(path))))
    return list(session.scalars(query.order_by(Image.id)))


def _image_of(entry: FileBox, images: Sequence[Image], dataset: Dataset) -> Image:
    """Return the image that shows the part: that of the object's number, or the only one that contains the box.

    Raises
    ------
    NoSuchImage, ValueError
    """
    if not images:
        raise NoSuchImage(dataset=dataset.name, image=entry.image)
    if entry.object_number is not None:
        numbered = [image for image in images if image.object_number == entry.object_number]
        if not numbered:
            known = ", ".join(str(image.object_number) for image in images)
            raise ValueError(f"the image has no object {entry.object_number} in the data set, only {known}")
        return numbered[0]
    if len(images) == 1:
        return images[0]
    left, top, right, bottom = entry.box
    around = [
        image
        for image in images
        if image.box is None
        or (image.box[0] <= left and image.box[1] <= top and right <= image.box[2] and bottom <= image.box[3])
    ]
    if len(around) != 1:
        raise ValueError(f"the box is inside of {len(around)} objects of the image. Give the object's number")
    return around[0]
