"""The registry of data sets, networks and checkpoints in the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared.database.connection import Database
from shared.database.datasets import Dataset, DatasetProblem, Image, ImageSplit
from shared.database.networks import Checkpoint, CheckpointKind, Network
from shared.errors import DatasetElsewhere, DatasetExists, EmptySplit, NoSuchClass, NoSuchDataset, NoSuchSplit
from unitscope.description import VERSION, NetworkDescription, NetworkSpecification
from unitscope.spelling import index_of, nfc, spellings, suggestion

# Keys in `datasets.options`
NOTES = "notes"
ORIENTATION = "orientation"  # of photographs: as EXIF says, or as stored. Missing in data sets of earlier versions
TURNED = "turned_images"  # number of image files that EXIF says to turn, if they are turned
EXIF, STORED = ORIENTATIONS = ("exif", "stored")


@dataclass(frozen=True)
class FoundImage:
    """A usable image found by a reader of data sets: the columns of ``images``, and its splits."""

    path: str
    object_number: int
    class_index: int
    class_name: str
    width: int
    height: int
    box: tuple[int, int, int, int] | None
    sha256: str
    splits: tuple[str, ...]
    perceptual_hash: int | None = None  # of the file's image


@dataclass(frozen=True)
class Problem:
    """An image or object that was left out: ``reason`` is a short code, ``detail`` a description."""

    path: str
    object_number: int
    reason: str
    detail: str


@dataclass
class FoundDataset:
    """The images and problems that a reader found below a root.

    ``notes`` are sentences for the person who adds it: what was assumed, and what was skipped and why.
    """

    kind: str
    root: str
    options: dict[str, Any]
    class_names: list[str]
    images: list[FoundImage] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    fingerprint: str = ""


def turns_images(options: Mapping[str, Any]) -> bool:
    """Return whether a data set with these options has images that are turned as their EXIF orientation says.

    Its fingerprint then differs from that of the same files as they are stored.
    """
    return options.get(ORIENTATION) == EXIF and bool(options.get(TURNED))


def register(database: Database, name: str, found: FoundDataset) -> tuple[int, bool]:
    """Register a data set in one transaction; return its id and whether it is new.

    Raises
    ------
    DatasetExists
        a data set of this name with other content is registered.
    DatasetElsewhere
        a data set of this name with the same content is registered at another root.
    """
    try:
        with database.write() as session:
            existing = _named(session, name)
            if existing is None:
                return insert_dataset(session, nfc(name), found), True
    except IntegrityError:  # another process may have registered the name concurrently
        with database.read() as session:
            existing = _named(session, name)
        if existing is None:
            raise
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
                "perceptual_hash": image.perceptual_hash,
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
    """Insert the images; return their ids, ascending and in the same order."""
    if not images:
        return []
    return session.scalars(insert(Image).returning(Image.id, sort_by_parameter_order=True), images).all()


def find_dataset(session: Session, name: str, *, lock: bool = False) -> Dataset:
    """Return the data set named ``name``, in any Unicode spelling. With ``lock``, no other transaction can change
    or use it until this one ends.

    Raises
    ------
    NoSuchDataset
    """
    dataset = _named(session, name, lock=lock)
    if dataset is None:
        names = session.scalars(select(Dataset.name).order_by(Dataset.name)).all()
        raise NoSuchDataset(name=name, close=suggestion(name, names), choices=", ".join(names) or "none")
    return dataset


def _named(session: Session, name: str, *, lock: bool = False) -> Dataset | None:
    """Return the data set of this name, or else of another Unicode spelling of it."""
    query = select(Dataset).where(Dataset.name.in_(spellings(name))).order_by(Dataset.name != name).limit(1)
    return session.scalars(query.with_for_update() if lock else query).one_or_none()


def class_index(dataset: Dataset, name: str) -> int:
    """Return the index of a class of a data set, in any Unicode spelling.

    Raises
    ------
    NoSuchClass
    """
    index = index_of(name, dataset.class_names)
    if index is None:
        raise NoSuchClass(dataset=dataset.name, name=name, close=suggestion(name, dataset.class_names))
    return index


def split_sizes(session: Session, dataset: Dataset) -> dict[str, int]:
    """Return the number of usable images by split."""
    rows = session.execute(
        select(ImageSplit.split, func.count())
        .where(ImageSplit.dataset_id == dataset.id)
        .group_by(ImageSplit.split)
        .order_by(ImageSplit.split)
    )
    empty = dict.fromkeys(dataset.options.get("splits", []), 0)
    return {**empty, **dict(rows.all())}


def find_split(session: Session, dataset: Dataset, split: str) -> tuple[str, int]:
    """Return a split's name as it is stored, and the number of its usable images, which is at least 1.

    Raises
    ------
    NoSuchSplit, EmptySplit
    """
    sizes = split_sizes(session, dataset)
    index = index_of(split, [*sizes])
    if index is None:
        raise NoSuchSplit(dataset=dataset.name, split=split, choices=", ".join(sizes) or "none")
    name, size = [*sizes.items()][index]
    if not size:
        raise EmptySplit(dataset=dataset.name, split=name)
    return name, size


@dataclass(frozen=True)
class LabelledImages:
    """Ids and labels of the images of some splits, ascending by id; ``members`` are indices of each split."""

    ids: list[int]
    labels: list[int]
    members: dict[str, list[int]]


def labelled_images(session: Session, dataset_id: int, splits: Sequence[str]) -> LabelledImages:
    """Return the images of splits, each once. A split that does not exist has none."""
    labels: dict[int, int] = {}
    members: dict[str, set[int]] = {split: set() for split in splits}
    query = (
        select(Image.id, Image.class_index, ImageSplit.split)
        .join(ImageSplit, ImageSplit.image_id == Image.id)
        .where(ImageSplit.dataset_id == dataset_id, ImageSplit.split.in_(members))
    )
    for image_id, label, split in session.execute(query):
        labels[image_id] = label
        members[split].add(image_id)
    ids = sorted(labels)
    return LabelledImages(
        ids,
        [labels[image_id] for image_id in ids],
        {
            split: [index for index, image_id in enumerate(ids) if image_id in of_split]
            for split, of_split in members.items()
        },
    )


def default_split(session: Session, dataset: Dataset) -> str:
    """Return ``val`` if it has images, as in the paper's figure, else the first split that has some."""
    sizes = split_sizes(session, dataset)
    nonempty = [split for split, size in sizes.items() if size]
    return "val" if "val" in nonempty else next(iter([*nonempty, *sizes]), "val")


def find_network_description(database: Database, specification: NetworkSpecification) -> NetworkDescription | None:
    """Return the stored description of a network, or None if it has to be computed: there is none of the current
    version, or it can't be read or is that of another network."""
    with database.read() as session:
        return stored_description(session, specification)


def stored_description(session: Session, specification: NetworkSpecification) -> NetworkDescription | None:
    """Return what ``find_network_description`` returns."""
    network = session.get(Network, specification.key())
    try:
        description = NetworkDescription.model_validate(network.description) if network else None
    except ValidationError:
        return None
    is_usable = description and description.version == VERSION and description.specification == specification
    return description if is_usable else None


def store_network_description(database: Database, description: NetworkDescription) -> None:
    """Store the description of a network, replacing that of an earlier version."""
    specification = description.specification
    stored = description.model_dump(mode="json")
    try:
        with database.write() as session:
            session.merge(Network(key=specification.key(), name=specification.name, description=stored))
    except IntegrityError:  # another process stored it concurrently; key and version determine a description
        pass


def find_checkpoint(session: Session, job_id: int, kind: CheckpointKind) -> Checkpoint | None:
    """Return a training run's checkpoint of kind state, best or last, or None; there is at most one of each."""
    query = select(Checkpoint).where(Checkpoint.job_id == job_id, Checkpoint.kind == kind)
    return session.scalars(query).one_or_none()
