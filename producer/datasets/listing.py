"""Queries for the list of data sets, and for a data set's classes, splits, and images that were left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from shared.database.catalogue import NOTES, find_dataset, split_sizes
from shared.database.connection import Database
from shared.database.datasets import Dataset, DatasetProblem, Image, ImageSplit


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
