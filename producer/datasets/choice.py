"""Choice of images of a data set: a split, or a part of it, or files, or ids."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from shared.database.catalogue import class_index, default_split, find_split
from shared.database.datasets import Dataset, Image, ImageSplit
from shared.errors import NoSuchImage, UsageError
from unitscope.spelling import spellings


@dataclass(frozen=True)
class ImageChoice:
    """The images to analyse: some or all of a split, or files, or ids."""

    split: str | None = None
    class_name: str | None = None  # None: all classes
    count: int | None = None  # None: all images
    paths: Sequence[Path] = ()
    ids: Sequence[int] = ()


def chosen_images(session: Session, dataset: Dataset, choice: ImageChoice) -> tuple[str | None, list[int]]:
    """Return the split (None for files and ids) and the numbers of the images in the data set, ascending.

    Raises
    ------
    NoSuchSplit, EmptySplit, NoSuchImage, UsageError
    """
    ids = list(session.scalars(select(Image.id).where(Image.dataset_id == dataset.id).order_by(Image.id)))
    number = {image: number for number, image in enumerate(ids)}
    if choice.paths or choice.ids:
        wrong = [image for image in choice.ids if image not in number]
        if wrong:
            raise NoSuchImage(dataset=dataset.name, image=wrong[0])
        by_path = [image for path in choice.paths for image in _images_of_file(session, dataset, path)]
        return None, sorted({number[image] for image in [*choice.ids, *by_path]})
    split, _ = find_split(session, dataset, choice.split or default_split(session, dataset))
    query = select(Image.id).join(ImageSplit, ImageSplit.image_id == Image.id)
    query = query.where(ImageSplit.dataset_id == dataset.id, ImageSplit.split == split).order_by(Image.id)
    if choice.class_name is not None:
        query = query.where(Image.class_index == class_index(dataset, choice.class_name))
    members = list(session.scalars(query))
    if not members:
        raise UsageError(
            reason=f"Split '{split}' of data set '{dataset.name}' has no image of class '{choice.class_name}'."
        )
    return split, [number[image] for image in evenly_spread(members, choice.count)]


def evenly_spread(members: Sequence[int], count: int | None) -> list[int]:
    """Choose ``count`` members, evenly spread because data sets are often sorted by class."""
    count = min(count or len(members), len(members))
    return [members[(2 * index + 1) * len(members) // (2 * count)] for index in range(count)]


def _images_of_file(session: Session, dataset: Dataset, path: Path) -> list[int]:
    """Return the ids of a file's images. The path is relative to the working directory or the data set's root, in
    any Unicode spelling."""
    root, absolute = Path(dataset.root), Path(os.path.abspath(path))
    above = next((folder for folder in absolute.parents if folder.resolve() == root.resolve()), None)
    given = [str(path), *([str(absolute.relative_to(above))] if above else [])]
    names = {name for typed in given for name in spellings(typed)}
    of_dataset = Image.dataset_id == dataset.id
    ids = list(session.scalars(select(Image.id).where(of_dataset, Image.path.in_(names))))
    if not ids:  # a file that is linked into the data set, by its own path
        same_name = (
            or_(Image.path == name, Image.path.endswith(f"/{name}", autoescape=True))
            for name in spellings(path.name)
        )
        rows = session.execute(select(Image.id, Image.path).where(of_dataset, or_(*same_name)))
        ids = [image for image, name in rows if _is_same_file(root / name, absolute)]
    if not ids:
        raise NoSuchImage(dataset=dataset.name, image=path)
    return ids


def _is_same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one of them is missing
        return False
