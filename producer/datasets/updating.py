"""Update of a registered data set to the current content of its folder. Jobs keep the version they were run on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import delete, exists, insert, select
from sqlalchemy.orm import Session

from shared.database.catalogue import FoundDataset, find_dataset, insert_dataset
from shared.database.connection import Database
from shared.database.datasets import Dataset, DatasetProblem, Image, ImageSplit
from shared.jobs.tables import Job

SHORTEST_SUFFIX = 8  # digits of the fingerprint in the name of an earlier version

Key = tuple[str, int]  # path and number of the object


@dataclass(frozen=True)
class DatasetUpdate:
    """The difference between a registered data set and its folder.

    Images are named ``PATH``, or ``PATH object N``.
    """

    name: str
    root: str
    fingerprint_before: str
    fingerprint: str
    images: int
    added: list[str]
    removed: list[str]
    changed: list[str]  # images with different content, box, class or splits
    left_out: int
    earlier_version: str | None  # new name of the previous version; None if no job was submitted on it

    @property
    def is_same(self) -> bool:
        """True if the content has not changed."""
        return self.fingerprint == self.fingerprint_before


def compare(database: Database, name: str, found: FoundDataset) -> DatasetUpdate:
    """Return what ``update_dataset`` would change.

    Raises
    ------
    NoSuchDataset
    """
    with database.read() as session:
        return _difference(session, find_dataset(session, name), found)


def update_dataset(database: Database, name: str, found: FoundDataset) -> DatasetUpdate:
    """Replace the content of a registered data set by ``found``.

    If the content has changed, the previous version is renamed to ``NAME@FINGERPRINT`` if a job was submitted on
    it, and deleted otherwise. An earlier version that has the content of ``found`` gets its name back.

    Raises
    ------
    NoSuchDataset
    """
    with database.write() as session:
        dataset = find_dataset(session, name, lock=True)
        name = dataset.name  # may be spelled in another way
        update = _difference(session, dataset, found)
        if update.is_same:
            _replace_description(session, dataset, found)
            return update
        dataset.name = unused_name(session, f"{name}@", dataset.fingerprint)
        session.flush()
        if same := _earlier_version(session, name, found.fingerprint):
            same.name = name
            _replace_description(session, same, found)
        else:
            insert_dataset(session, name, found)
        if session.scalar(select(exists().where(Job.dataset_id == dataset.id))):
            return replace(update, earlier_version=dataset.name)
        session.execute(delete(Dataset).where(Dataset.id == dataset.id))
        return update


def earlier_versions(session: Session, name: str) -> list[Dataset]:
    """Return the earlier versions of a data set that jobs still need."""
    query = select(Dataset).where(Dataset.name.startswith(f"{name}@", autoescape=True))
    return list(session.scalars(query.order_by(Dataset.id)))


def unused_name(session: Session, prefix: str, fingerprint: str) -> str:
    """Return ``prefix`` with the first digits of the fingerprint, as many as make the name unique."""
    for length in range(SHORTEST_SUFFIX, len(fingerprint)):
        name = prefix + fingerprint[:length]
        if not session.scalar(select(exists().where(Dataset.name == name))):
            return name
    return prefix + fingerprint


def _difference(session: Session, dataset: Dataset, found: FoundDataset) -> DatasetUpdate:
    before = _registered(session, dataset)
    now = {
        (image.path, image.object_number): (image.sha256, image.class_name, image.box, set(image.splits))
        for image in found.images
    }
    return DatasetUpdate(
        name=dataset.name,
        root=found.root,
        fingerprint_before=dataset.fingerprint,
        fingerprint=found.fingerprint,
        images=len(now),
        added=_named(now.keys() - before.keys()),
        removed=_named(before.keys() - now.keys()),
        changed=_named(key for key in now.keys() & before.keys() if now[key] != before[key]),
        left_out=len(found.problems),
        earlier_version=None,
    )


def _registered(session: Session, dataset: Dataset) -> dict[Key, tuple[Any, ...]]:
    splits: dict[int, set[str]] = {}
    members = select(ImageSplit.image_id, ImageSplit.split).where(ImageSplit.dataset_id == dataset.id)
    for image_id, split in session.execute(members):
        splits.setdefault(image_id, set()).add(split)
    return {
        (image.path, image.object_number): (image.sha256, image.class_name, image.box, splits.get(image.id, set()))
        for image in session.scalars(select(Image).where(Image.dataset_id == dataset.id))
    }


def _named(keys: Iterable[Key]) -> list[str]:
    return [f"{path} object {number}" if number else path for path, number in sorted(keys)]


def _replace_description(session: Session, dataset: Dataset, found: FoundDataset) -> None:
    """Update what can differ although the content is the same: root, options, problems, and missing hashes."""
    for earlier in earlier_versions(session, dataset.name):
        if earlier.root == dataset.root:  # the folder was moved
            earlier.root = found.root
    dataset.root, dataset.options = found.root, found.options
    session.execute(delete(DatasetProblem).where(DatasetProblem.dataset_id == dataset.id))
    _fill_hashes(session, dataset, found)
    problems = [{"dataset_id": dataset.id, **vars(problem)} for problem in found.problems]
    if problems:
        session.execute(insert(DatasetProblem), problems)


def _fill_hashes(session: Session, dataset: Dataset, found: FoundDataset) -> None:
    """Add perceptual hashes to the images of a data set that was registered by a version without them."""
    hashes = {(image.path, image.object_number): image.perceptual_hash for image in found.images}
    missing = select(Image).where(Image.dataset_id == dataset.id, Image.perceptual_hash.is_(None))
    for image in session.scalars(missing):
        image.perceptual_hash = hashes.get((image.path, image.object_number))


def _earlier_version(session: Session, name: str, fingerprint: str) -> Dataset | None:
    return next((old for old in earlier_versions(session, name) if old.fingerprint == fingerprint), None)
