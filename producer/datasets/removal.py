"""Removal of registered data sets, with the folders and decoded images that the program made itself."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import delete, exists, func, select
from sqlalchemy.orm import Session

from shared.database.catalogue import find_dataset
from shared.database.connection import Database
from shared.database.datasets import Dataset, Image
from shared.errors import DatasetInUse
from shared.jobs.removal import RemovableJob, list_job_ids, removable_jobs, remove_job
from shared.jobs.tables import Job
from shared.settings import Settings
from unitscope.images.pixel_files import pixel_files

# The key in `datasets.options`; true if the program drew, unpacked or downloaded the images into its home folder.
OWN_FOLDER = "own_folder"


@dataclass(frozen=True)
class RemovableDataset:
    """A data set that can be removed, with the jobs on it and those that use their results."""

    name: str
    root: str
    images: int
    jobs: list[RemovableJob]
    folder: Path | None  # the program's own folder, which is removed too
    pixel_files: list[Path]  # decoded images of this machine's workers


def removable_dataset(database: Database, settings: Settings, name: str, *, with_jobs: bool) -> RemovableDataset:
    """Return what is removed with a data set.

    Raises
    ------
    NoSuchDataset
    DatasetInUse
        Jobs were submitted on it, and ``with_jobs`` is not set.
    JobStillActive
        One of them is queued or running.
    """
    with database.write() as session:
        dataset = find_dataset(session, name)
        jobs = _jobs(session, dataset, with_jobs)
        return RemovableDataset(
            name=name,
            root=dataset.root,
            images=session.scalar(select(func.count()).where(Image.dataset_id == dataset.id)) or 0,
            jobs=jobs,
            folder=_own_folder(session, settings, dataset),
            pixel_files=_pixel_files(session, settings, dataset),
        )


def remove_dataset(database: Database, removable: RemovableDataset, *, keep_files: bool = False) -> None:
    """Remove a data set, its jobs, and (unless ``keep_files``) the program's own folder of its images.

    Raises
    ------
    NoSuchDataset, DatasetInUse, JobStillActive
        Something changed since ``removable_dataset``.
    """
    for job in removable.jobs:
        remove_job(database, job)
    with database.write() as session:
        dataset = find_dataset(session, removable.name, lock=True)
        _jobs(session, dataset, with_jobs=False)
        session.execute(delete(Dataset).where(Dataset.id == dataset.id))
    for file in removable.pixel_files:
        file.unlink(missing_ok=True)
    if removable.folder and not keep_files:
        shutil.rmtree(removable.folder)


def _jobs(session: Session, dataset: Dataset, with_jobs: bool) -> list[RemovableJob]:
    job_ids = list(session.scalars(select(Job.id).where(Job.dataset_id == dataset.id).order_by(Job.id)))
    if job_ids and not with_jobs:
        raise DatasetInUse(name=dataset.name, jobs=list_job_ids(job_ids))
    return removable_jobs(session, job_ids, with_dependents=True)


def _own_folder(session: Session, settings: Settings, dataset: Dataset) -> Path | None:
    """Return the data set's own folder below ``datasets`` of the home, or None if it has none or shares it."""
    if not dataset.options.get(OWN_FOLDER):
        return None
    base = (settings.home / "datasets").resolve()
    root = Path(dataset.root)
    if not root.is_relative_to(base) or root == base:
        return None
    folder = base / root.relative_to(base).parts[0]
    others = session.scalars(select(Dataset.root).where(Dataset.id != dataset.id))
    if any(Path(other).is_relative_to(folder) for other in others):
        return None
    return folder if folder.is_dir() and not folder.is_symlink() else None


def _pixel_files(session: Session, settings: Settings, dataset: Dataset) -> list[Path]:
    same = exists().where(Dataset.fingerprint == dataset.fingerprint, Dataset.id != dataset.id)
    if session.scalar(select(same)):
        return []
    files = pixel_files(settings.cache_folder)
    return [file.path for file in files if file.fingerprint == dataset.fingerprint]
