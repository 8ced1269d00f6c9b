"""The registry of data sets, networks and checkpoints in the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared.database.connection import Database
from shared.database.datasets import Dataset, DatasetProblem, Image, ImageSplit
from shared.database.networks import Checkpoint, CheckpointKind, Network
from shared.errors import DatasetElsewhere, DatasetExists, EmptySplit, NoSuchClass, NoSuchDataset, NoSuchSplit
from unitscope.description import VERSION, NetworkDescription, NetworkSpecification


@dataclass(frozen=True)
class FoundImage:
    """A usable image that a reader of data sets found: the columns of ``images``, and its splits."""

    path: str
    object_number: int
    class_index: int
    class_name: str
    width: int
    height: int
    box: tuple[int, int, int, int] | None
    sha256: str
    splits: tuple[str, ...]


@dataclass(frozen=True)
class Problem:
    """Something that was left out: ``reason`` is a short code, ``detail`` what was seen."""

    path: str
    object_number: int
    reason: str
    detail: str


@dataclass
class FoundDataset:
    """What a reader found below a root."""

    kind: str
    root: str
    options: dict[str, Any]
    class_names: list[str]
    images: list[FoundImage] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    fingerprint: str = ""


def register(database: Database, name: str, found: FoundDataset) -> tuple[int, bool]:
    """Put a data set into the registry, all of it or nothing; returns its id and whether it is new.

    Raises
    ------
    DatasetExists
        the name is taken by other content.
    DatasetElsewhere
        the name is taken by the same content at another root.
    """
    try:
        with database.write() as session:
            existing = session.scalars(select(Dataset).where(Dataset.name == name)).one_or_none()
            if existing is None:
                return insert_dataset(session, name, found), True
    except IntegrityError:
        with database.read() as session:
            existing = session.scalars(select(Dataset).where(Dataset.name == name)).one_or_none()
        if existing is None:
            raise
        # Another process registered the name a moment ago.
    if existing.fingerprint != found.fingerprint:
        raise DatasetExists(name=name, root=existing.root)
    if existing.root != found.root:
        raise DatasetElsewhere(name=name, root=existing.root, given=found.root)
    return existing.id, False


def insert_dataset(session: Session, name: str, found: FoundDataset) -> int:
    """Insert a data set with its images, splits, and what was left out; return its id."""
    dataset = Dataset(
        name=name,
        kind=found.kind,
        root=found.root,
        options=found.options,
        fingerprint=found.fingerprint,
        class_names=found.class_names,
    )
    session.add(dataset)
    session.flush()
    images = []
    for image in found.images:
        left, top, right, bottom = image.box or (None, None, None, None)
        images.append(
            {
                "dataset_id": dataset.id,
                "path": image.path,
                "object_number": image.object_number,
                "class_index": image.class_index,
                "class_name": image.class_name,
                "width": image.width,
                "height": image.height,
                "box_left": left,
                "box_top": top,
                "box_right": right,
                "box_bottom": bottom,
                "sha256": image.sha256,
            }
        )
    ids = _insert_images(session, images)
    members = [
        {"split": split, "image_id": image_id, "dataset_id": dataset.id}
        for image_id, image in zip(ids, found.images, strict=True)
        for split in image.splits
    ]
    if members:
        session.execute(insert(ImageSplit), members)
    if found.problems:
        session.execute(
            insert(DatasetProblem), [{"dataset_id": dataset.id, **vars(problem)} for problem in found.problems]
        )
    return dataset.id


def _insert_images(session: Session, images: list[dict[str, Any]]) -> Sequence[int]:
    """Insert in order; the ids come back in the same order, ascending."""
    if not images:
        return []
    return session.scalars(insert(Image).returning(Image.id, sort_by_parameter_order=True), images).all()


def find_dataset(session: Session, name: str, *, lock: bool = False) -> Dataset:
    """The data set called ``name``; with ``lock``, nobody else can change or use it until the transaction ends.

    Raises
    ------
    NoSuchDataset
    """
    query = select(Dataset).where(Dataset.name == name)
    dataset = session.scalars(query.with_for_update() if lock else query).one_or_none()
    if dataset is None:
        names = session.scalars(select(Dataset.name).order_by(Dataset.name)).all()
        raise NoSuchDataset(name=name, choices=", ".join(names) or "none")
    return dataset


def class_index(dataset: Dataset, name: str) -> int:
    """Return the index of a class of a data set.

    Raises
    ------
    NoSuchClass
    """
    if name not in dataset.class_names:
        raise NoSuchClass(dataset=dataset.name, name=name)
    return dataset.class_names.index(name)


def split_sizes(session: Session, dataset: Dataset) -> dict[str, int]:
    """Number of usable images by split."""
    rows = session.execute(
        select(ImageSplit.split, func.count())
        .where(ImageSplit.dataset_id == dataset.id)
        .group_by(ImageSplit.split)
        .order_by(ImageSplit.split)
    )
    known = dict.fromkeys(dataset.options.get("splits", []), 0)
    return {**known, **dict(rows.tuples().all())}


def split_size(session: Session, dataset: Dataset, split: str) -> int:
    """Number of usable images of a split, at least one.

    Raises
    ------
    NoSuchSplit, EmptySplit
    """
    sizes = split_sizes(session, dataset)
    if split not in sizes:
        raise NoSuchSplit(dataset=dataset.name, split=split, choices=", ".join(sizes) or "none")
    if not sizes[split]:
        raise EmptySplit(dataset=dataset.name, split=split)
    return sizes[split]


def default_split(session: Session, dataset: Dataset) -> str:
    """``val`` where there is one, as in the paper's figure; else the first."""
    sizes = split_sizes(session, dataset)
    filled = [split for split, size in sizes.items() if size]
    return "val" if "val" in filled else next(iter([*filled, *sizes]), "val")


def known_network(database: Database, specification: NetworkSpecification) -> NetworkDescription | None:
    """A network's description, if it was worked out before, by code of today's version."""
    with database.read() as session:
        network = session.get(Network, specification.key())
    description = NetworkDescription.model_validate(network.description) if network else None
    return description if description and description.version == VERSION else None


def remember_network(database: Database, description: NetworkDescription) -> None:
    """Keep a network's description, in place of an earlier version's."""
    specification = description.specification
    stored = description.model_dump(mode="json")
    try:
        with database.write() as session:
            session.merge(Network(key=specification.key(), name=specification.name, description=stored))
    except IntegrityError:  # another process has just kept it: a description depends on its key and version alone
        pass


def find_checkpoint(session: Session, job_id: int, kind: CheckpointKind) -> Checkpoint | None:
    """A training run's state, best or last weights: of each there is one at most."""
    query = select(Checkpoint).where(Checkpoint.job_id == job_id, Checkpoint.kind == kind)
    return session.scalars(query).one_or_none()
