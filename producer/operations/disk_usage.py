"""Disk usage of jobs, from the rows of their files, and of everything else that the program stores."""

from __future__ import annotations

import os
import shutil
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Column, CompoundSelect, Select, func, or_, select, union_all
from sqlalchemy.orm import Session

from producer.cost.storage import existing_folder
from producer.datasets.removal import OWN_FOLDER
from producer.operations.garbage import find_garbage
from producer.operations.vacuum import database_size
from shared.database.connection import Database
from shared.database.datasets import Dataset
from shared.jobs.tables import Artifact, Job
from shared.kinds.registry import describe
from shared.settings import Settings
from shared.store.references import artifact_columns, paths_in
from shared.store.store import Store
from unitscope.images.pixel_files import pixel_files

GARBAGE_SECONDS = 24 * 3600.0  # as the default of `analyze gc`
PATHS_AT_ONCE = 5_000


@dataclass(frozen=True)
class JobUsage:
    """Bytes of the files that a job wrote first; ``shared_bytes`` of them stay for other jobs if it is removed."""

    job_id: int
    kind: str
    what: str
    state: str
    bytes: int
    shared_bytes: int


@dataclass(frozen=True)
class DatasetUsage:
    """Bytes of a data set's images that the program generated, unpacked or downloaded into its home folder."""

    name: str
    folder: str
    bytes: int


@dataclass(frozen=True)
class DiskUsage:
    """Disk usage in bytes, and the free space of the store's file system.

    Parameters
    ----------
    jobs
        the largest first.
    kinds
        bytes of all jobs of each kind, the largest first.
    of_removed_jobs
        files in the store whose first job was removed.
    incoming
        unfinished files of writers that run or were killed.
    other
        other files in the store: weights that were given, event files, files of attempts that failed.
    unreferenced
        what `analyze gc` lists. It is part of the numbers above.
    """

    jobs: list[JobUsage]
    kinds: dict[str, int]
    of_removed_jobs: int
    incoming: int
    other: int
    unreferenced: int
    datasets: list[DatasetUsage]
    pixel_cache: int
    database: int
    free: int

    @property
    def total(self) -> int:
        store = sum(self.kinds.values()) + self.of_removed_jobs + self.incoming + self.other
        return store + sum(found.bytes for found in self.datasets) + self.pixel_cache + self.database


def disk_usage(database: Database, settings: Settings, store: Store) -> DiskUsage:
    """Return the disk usage of jobs and of everything else. The sizes of jobs are read from rows; the files of the
    store are only listed."""
    with database.read() as session:
        jobs = sorted(_jobs(session), key=lambda job: (-job.bytes, job.job_id))
        orphans = session.scalar(select(func.sum(Artifact.bytes)).where(Artifact.job_id.is_(None)))
        registered = session.scalars(select(Dataset).order_by(Dataset.id)).all()
    kinds: Counter[str] = Counter()
    for job in jobs:
        kinds[job.kind] += job.bytes
    of_removed_jobs = int(orphans or 0)
    incoming = folder_size(store.root / "incoming")
    datasets = _datasets(settings, [dataset for dataset in registered if dataset.options.get(OWN_FOLDER)])
    return DiskUsage(
        jobs=jobs,
        kinds=dict(kinds.most_common()),
        of_removed_jobs=of_removed_jobs,
        incoming=incoming,
        other=max(0, folder_size(store.root) - incoming - of_removed_jobs - kinds.total()),
        unreferenced=sum(file.bytes for file in find_garbage(database, store, GARBAGE_SECONDS)),
        datasets=sorted(datasets, key=lambda found: -found.bytes),
        pixel_cache=sum(file.allocated for file in pixel_files(settings.cache_folder)),
        database=database_size(database),
        free=shutil.disk_usage(existing_folder(store.root)).free,
    )


def folder_size(folder: Path) -> int:
    """Return the bytes of all files below a folder, without following links; 0 if it doesn't exist."""
    size = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    size += folder_size(Path(entry.path))
                else:
                    size += entry.stat(follow_symlinks=False).st_size
    except (FileNotFoundError, NotADirectoryError):  # removed meanwhile
        pass
    return size


def _jobs(session: Session) -> list[JobUsage]:
    columns = (Job.id, Job.kind, Job.specification, Job.state, Job.stored_bytes)
    rows = session.execute(select(*columns)).all()
    shared = _shared_bytes(session, {row.id: set(paths_in(row.specification)) for row in rows})
    return [
        JobUsage(
            row.id, row.kind, describe(row.kind, row.specification), row.state, row.stored_bytes, shared[row.id]
        )
        for row in rows
    ]


def _shared_bytes(session: Session, in_specifications: dict[int, set[str]]) -> Counter[int]:
    """Return, for each job, the bytes of the files that it wrote first and that other jobs refer to.

    ``in_specifications`` are the paths that the specification of each job names.
    """
    used = _users_of_files().subquery()
    users = (
        select(used.c.path, func.min(used.c.job_id).label("first"), func.max(used.c.job_id).label("last"))
        .group_by(used.c.path)
        .subquery()
    )
    by_rows = (
        select(Artifact.path, Artifact.job_id, Artifact.bytes)
        .join(users, users.c.path == Artifact.path)
        .where(or_(users.c.first != Artifact.job_id, users.c.last != Artifact.job_id))
    )
    shared = {row.path: (row.job_id, row.bytes) for row in session.execute(by_rows)}
    named: dict[str, set[int]] = defaultdict(set)
    for job_id, paths in in_specifications.items():
        for path in paths:
            named[path].add(job_id)
    listed = sorted(named)
    for start in range(0, len(listed), PATHS_AT_ONCE):
        part = Artifact.path.in_(listed[start : start + PATHS_AT_ONCE])
        for row in session.execute(select(Artifact.path, Artifact.job_id, Artifact.bytes).where(part)):
            if named[row.path] - {row.job_id}:
                shared[row.path] = row.job_id, row.bytes
    sizes: Counter[int] = Counter()
    for job_id, count in shared.values():
        sizes[job_id] += count
    return sizes


def _users_of_files() -> CompoundSelect[int, str]:
    """Return a query for the job and the path of every reference to a file; its rows can be repeated."""
    return union_all(*(_users_by_column(column) for column in artifact_columns()))


def _users_by_column(column: Column[str]) -> Select[int, str]:
    """Return a query for the job and the path of a column's references: see ``references.rows_of_job``."""
    table = column.table
    path = column.label("path")
    if "job_id" in table.columns:
        return select(table.columns.job_id.label("job_id"), path).where(column.is_not(None))
    key = next(key for key in table.foreign_keys if "job_id" in key.column.table.columns)
    query = select(key.column.table.columns.job_id.label("job_id"), path)
    return query.join_from(table, key.column.table, key.parent == key.column).where(column.is_not(None))


def _datasets(settings: Settings, generated: list[Dataset]) -> list[DatasetUsage]:
    """Return the size of the program's own folder of each data set; one that several share is counted once."""
    base = (settings.home / "datasets").resolve()
    names: dict[Path, list[str]] = defaultdict(list)
    for dataset in generated:
        root = Path(dataset.root)
        if root.is_relative_to(base) and root != base:
            names[base / root.relative_to(base).parts[0]].append(dataset.name)
    return [DatasetUsage(", ".join(found), str(folder), folder_size(folder)) for folder, found in names.items()]
