"""Queries for the list of data sets, and for a data set's classes, splits, and images that were left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select, tuple_
from sqlalchemy.orm import Session

from shared.database.catalogue import NOTES, class_index, find_dataset, find_split, split_sizes
from shared.database.connection import Database
from shared.database.datasets import Dataset, DatasetProblem, Image, ImageSplit
from shared.errors import NoImageWithId


@dataclass(frozen=True)
class ListedDataset:
    """A row of ``analyze dataset ls``."""

    name: str
    kind: str
    classes: int
    images: int
    left_out: int
    root: str
    fingerprint: str


@dataclass(frozen=True)
class LeftOut:
    """Number of images or objects that were left out for a reason, and the first path."""

    reason: str
    count: int
    first: str


@dataclass(frozen=True)
class DatasetSummary:
    """A data set: numbers of images by split, and by class and split; images left out, by reason."""

    name: str
    kind: str
    root: str
    options: dict[str, Any]
    fingerprint: str
    images: int
    splits: dict[str, int]
    classes: dict[str, dict[str, int]]
    left_out: list[LeftOut]
    notes: list[str]


def list_datasets(database: Database) -> list[ListedDataset]:
    """Return all registered data sets in the order of their names."""
    counts = {}
    with database.read() as session:
        datasets = session.scalars(select(Dataset).order_by(Dataset.name)).all()
        for column in (Image.dataset_id, DatasetProblem.dataset_id):
            grouped = session.execute(select(column, func.count()).group_by(column))
            counts[column.class_] = {row[0]: row[1] for row in grouped}
    return [
        ListedDataset(
            d.name,
            d.kind,
            len(d.class_names),
            counts[Image].get(d.id, 0),
            counts[DatasetProblem].get(d.id, 0),
            d.root,
            d.fingerprint,
        )
        for d in datasets
    ]


def summarize_dataset(database: Database, name: str) -> DatasetSummary:
    """Return a data set with its numbers of images.

    Raises
    ------
    NoSuchDataset
    """
    with database.read() as session:
        dataset = find_dataset(session, name)
        sizes = split_sizes(session, dataset)
        by_class = session.execute(
            select(ImageSplit.split, Image.class_name, func.count())
            .join(Image, Image.id == ImageSplit.image_id)
            .where(ImageSplit.dataset_id == dataset.id)
            .group_by(ImageSplit.split, Image.class_name)
        ).all()
        total = session.scalar(select(func.count()).where(Image.dataset_id == dataset.id)) or 0
        problems = session.execute(
            select(DatasetProblem.reason, func.count(), func.min(DatasetProblem.path))
            .where(DatasetProblem.dataset_id == dataset.id)
            .group_by(DatasetProblem.reason)
            .order_by(func.count().desc())
        ).all()
    counts = {(split, class_name): count for split, class_name, count in by_class}
    return DatasetSummary(
        name=dataset.name,
        kind=dataset.kind,
        root=dataset.root,
        options=dataset.options,
        fingerprint=dataset.fingerprint,
        images=total,
        splits=sizes,
        classes={c: {split: counts.get((split, c), 0) for split in sizes} for c in dataset.class_names},
        left_out=[LeftOut(*problem) for problem in problems],
        notes=list(map(str, dataset.options.get(NOTES, ()))),
    )


def names_by_fingerprint(database: Database) -> dict[str, list[str]]:
    """Return the names of the data sets with each fingerprint."""
    names: dict[str, list[str]] = {}
    with database.read() as session:
        for name, fingerprint in session.execute(select(Dataset.name, Dataset.fingerprint).order_by(Dataset.name)):
            names.setdefault(fingerprint, []).append(name)
    return names


def images_page(
    database: Database,
    name: str,
    limit: int,
    *,
    split: str | None = None,
    class_name: str | None = None,
    after: int | None = None,
) -> tuple[list[Image], bool]:
    """Return ``limit`` images of a data set in the order of their paths, and whether there are more.

    Parameters
    ----------
    after
        Id of the image after which the page begins.

    Raises
    ------
    NoSuchDataset, NoSuchSplit, EmptySplit, NoSuchClass, NoImageWithId
    """
    with database.read() as session:
        dataset = find_dataset(session, name)
        query = _in_order(dataset.id)
        if class_name:
            query = query.where(Image.class_index == class_index(dataset, class_name))
        if split:
            split, _ = find_split(session, dataset, split)
            members = select(ImageSplit.image_id).where(ImageSplit.image_id == Image.id, ImageSplit.split == split)
            query = query.where(members.exists())
        if after is not None:
            last = find_image(session, after)
            query = query.where(_place(Image) > _place(last))
        rows = session.scalars(query.limit(limit + 1)).all()
    return list(rows[:limit]), len(rows) > limit


@dataclass(frozen=True)
class ImageContext:
    """An image in its data set: its splits, the images before and after it by path, and those of the same file."""

    image: Image
    dataset: Dataset
    splits: list[str]
    before: int | None
    after: int | None
    same_file: list[Image]


def image_context(database: Database, image_id: int) -> ImageContext:
    """Return an image with what surrounds it in its data set.

    Raises
    ------
    NoImageWithId
    """
    with database.read() as session:
        image = find_image(session, image_id)
        dataset = session.get_one(Dataset, image.dataset_id)
        splits = session.scalars(
            select(ImageSplit.split).where(ImageSplit.image_id == image_id).order_by(ImageSplit.split)
        ).all()
        beside = select(Image.id).where(Image.dataset_id == dataset.id).limit(1)
        before = beside.where(_place(Image) < _place(image))
        after = beside.where(_place(Image) > _place(image))
        same = select(Image).where(Image.dataset_id == dataset.id, Image.path == image.path)
        return ImageContext(
            image,
            dataset,
            list(splits),
            session.scalar(before.order_by(Image.path.desc(), Image.object_number.desc())),
            session.scalar(after.order_by(Image.path, Image.object_number)),
            list(session.scalars(same.order_by(Image.object_number))),
        )


def find_image(session: Session, image_id: int) -> Image:
    """Return the image with this id.

    Raises
    ------
    NoImageWithId
    """
    image = session.get(Image, image_id)
    if image is None:
        raise NoImageWithId(image=image_id)
    return image


def _in_order(dataset_id: int) -> Select[tuple[Image]]:
    return select(Image).where(Image.dataset_id == dataset_id).order_by(Image.path, Image.object_number)


def _place(image: Any) -> Any:
    return tuple_(image.path, image.object_number)
