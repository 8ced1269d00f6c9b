"""Space that a job needs in the artifact store, and whether the store has it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from producer.cost.history import earlier_jobs
from producer.kinds.descriptor import load
from producer.kinds.estimates import Estimate
from producer.kinds.registry import producer_kinds
from shared.database.connection import Database
from shared.errors import StoreTooSmall
from shared.jobs.tables import JobState
from shared.kinds.specification import Specification
from shared.settings import Settings
from shared.text import size_text

LARGEST_RESERVE = 10**9  # bytes of the file system that are kept free
RESERVED_SHARE = 0.05
MOST_CHANGE = 2.0  # of an estimate by what an earlier job wrote


@dataclass(frozen=True)
class NeededSpace:
    """Estimated files of a job, and the free space of the store's file system without a reserve.

    ``like_job`` is the earlier job by whose files the estimate was corrected; None: the estimate is what the job
    writes at most, if no file is the same as another one.
    """

    files: int
    bytes: int
    temporary_bytes: int
    like_job: int | None
    available: int

    @property
    def fits(self) -> bool:
        return self.bytes + self.temporary_bytes <= self.available


def estimate_of(kind: str) -> Estimate | None:
    """Return the functions that estimate the cost of jobs of a kind, if the kind has them."""
    path = producer_kinds()[kind].estimate
    estimate: Estimate | None = load(path) if path else None
    return estimate


def needed_space(database: Database, settings: Settings, specification: Specification) -> NeededSpace | None:
    """Estimate the space that a job needs; None if its kind can't tell."""
    estimate = estimate_of(specification.kind)
    if estimate is None:
        return None
    storage = estimate.storage(database, settings, specification)
    with database.read() as session:
        earlier = earlier_jobs(session, specification, estimate.same_files)
        written = {
            job.id: (parsed, job.stored_bytes)
            for job, parsed in earlier
            if job.state == JobState.DONE and job.stored_bytes and estimate.wrote_all(session, job.id)
        }
    like_job, share = None, 1.0
    if written:
        # The others have written less: their files existed already.
        like_job = max(written, key=lambda job_id: written[job_id][1])
        parsed, stored = written[like_job]
        share = min(stored / estimate.storage(database, settings, parsed).bytes, MOST_CHANGE)
    return NeededSpace(
        files=round(storage.files * min(share, 1.0)),
        bytes=round(storage.bytes * share),
        temporary_bytes=storage.temporary_bytes,
        like_job=like_job,
        available=available_bytes(settings.resolved_store),
    )


def available_bytes(folder: Path) -> int:
    """Return the free space of a folder's file system, less the reserve. The folder need not exist yet."""
    disk = shutil.disk_usage(existing_folder(folder))
    return max(0, disk.free - min(LARGEST_RESERVE, int(disk.total * RESERVED_SHARE)))


def existing_folder(folder: Path) -> Path:
    """Return the folder, or the nearest one above that exists."""
    return next(parent for parent in (folder, *folder.parents) if parent.exists())


def require_space(database: Database, settings: Settings, specification: Specification) -> None:
    """Check that the store can hold the files of a job.

    Raises
    ------
    StoreTooSmall
    """
    space = needed_space(database, settings, specification)
    if space and not space.fits:
        raise StoreTooSmall(
            needed=size_text(space.bytes + space.temporary_bytes),
            root=settings.resolved_store,
            available=size_text(space.available),
        )
