"""Remove jobs: their rows, in transactions small enough that workers can write in between.

A job is first marked: cancelled, under another key, and without shards to retry. After that, no query finds its
results. Then its rows are deleted, and last the job's own row, of which ``removed_jobs`` keeps a record. A removal
that was interrupted is completed by removing the job again. The files are left to ``analyze gc``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Table, any_, delete, func, literal_column, or_, select, update
from sqlalchemy.orm import Session

from shared.database.base import Base
from shared.database.connection import Database
from shared.database.datasets import Dataset
from shared.errors import JobInUse, JobStillActive
from shared.jobs.tables import ACTIVE_JOBS, Artifact, Job, JobState, RemovedJob
from shared.jobs.transitions import missing_job
from shared.kinds.registry import describe, kinds
from shared.store.references import rows_of_job

ROWS_AT_ONCE = 10_000
INTERRUPTED = "Its removal was interrupted: `analyze rm {job_id}` completes it."


@dataclass(frozen=True)
class RemovableJob:
    """A job that can be removed. ``bytes``: the size of the files that it was the first to write."""

    job_id: int
    kind: str
    description: str
    dataset: str
    bytes: int


def removable_jobs(
    session: Session, job_ids: Collection[int], *, with_dependents: bool = False
) -> list[RemovableJob]:
    """Return the jobs to remove, and lock them until the transaction ends; jobs that use others come first.

    Parameters
    ----------
    with_dependents
        Also return the jobs that use the results of these, and so on.

    Raises
    ------
    NoSuchJob
    JobStillActive
        One of them is queued or running.
    JobInUse
        Jobs that are not among them use the results of one, and ``with_dependents`` is not set.
    """
    chosen: set[int] = set()
    new = set(job_ids)
    while new:
        for job_id in sorted(new):
            _lock(session, job_id)
        chosen |= new
        users = {used: set(found) - chosen for used, found in dependents(session, new).items()}
        new = set().union(*users.values())
        if new and not with_dependents:
            used = next(job_id for job_id, found in users.items() if found)
            every = " ".join(map(str, sorted(_with_all_dependents(session, chosen))))
            raise JobInUse(job_id=used, jobs=list_job_ids(sorted(users[used])), all=every)
    return [_removable(session, job_id) for job_id in sorted(chosen, reverse=True)]  # a job uses older ones only


def remove_job(database: Database, job: RemovableJob) -> None:
    """Delete a job and all its rows.

    Raises
    ------
    NoSuchJob, JobStillActive, JobInUse
        Something changed since ``removable_jobs``.
    """
    with database.write() as session:
        removable_jobs(session, [job.job_id])
        _mark(session, job.job_id)
    for table in reversed(Base.metadata.sorted_tables):  # rows before those that they refer to
        condition = rows_of_job(table, job.job_id)
        if condition is None or table is Job.__table__:
            continue
        while _change_some(database, table, condition) == ROWS_AT_ONCE:
            pass
    with database.write() as session:
        removed = session.get_one(Job, job.job_id)
        session.add(
            RemovedJob(
                id=job.job_id,
                kind=job.kind,
                description=job.description,
                dataset=job.dataset,
                submitted_at=removed.created_at,
            )
        )
        session.delete(removed)


def dependents(session: Session, job_ids: Collection[int]) -> dict[int, list[int]]:
    """Return the jobs that use the results of each of these: their specifications name it."""
    users: dict[int, list[int]] = {}
    for name, kind in kinds().items():
        used = [Job.specification[field].as_integer() for field in kind.other_jobs]
        if not used:
            continue
        # One statement for all fields of a kind, since a specification takes long to parse.
        names_one = or_(*(field.in_(job_ids) for field in used))
        query = select(Job.id, *used).where(Job.kind == name, names_one).order_by(Job.id)
        for user, *named in session.execute(query):
            for job_id in set(named).intersection(job_ids):
                users.setdefault(job_id, []).append(user)
    return users


def list_job_ids(job_ids: Sequence[int], shown: int = 10) -> str:
    """``jobs 2, 3, 5``, for a message: the first so many."""
    more = f" and {len(job_ids) - shown} more" if len(job_ids) > shown else ""
    return ("job " if len(job_ids) == 1 else "jobs ") + ", ".join(map(str, job_ids[:shown])) + more


def _with_all_dependents(session: Session, job_ids: Collection[int]) -> set[int]:
    found, new = set(job_ids), set(job_ids)
    while new:
        new = {user for users in dependents(session, new).values() for user in users} - found
        found |= new
    return found


def _lock(session: Session, job_id: int) -> None:
    # Not as `lock_job`: a job that is submitted now and uses this one has to wait as well.
    state = session.scalar(select(Job.state).where(Job.id == job_id).with_for_update())
    if state is None:
        raise missing_job(session, job_id)
    if state in ACTIVE_JOBS:
        raise JobStillActive(job_id=job_id, state=state)


def _removable(session: Session, job_id: int) -> RemovableJob:
    job = session.get_one(Job, job_id)
    dataset = session.get_one(Dataset, job.dataset_id).name
    return RemovableJob(job_id, job.kind, describe(job.kind, job.specification), dataset, job.stored_bytes)


def _mark(session: Session, job_id: int) -> None:
    """Hide the job's results: those of a cancelled job are not used, and the same request makes a new job."""
    job = session.get_one(Job, job_id)
    job.key = hashlib.sha256(f"removal of job {job_id}".encode()).hexdigest()
    job.generation = 0
    job.state = JobState.CANCELLED
    job.shards_total = job.shards_left = 0
    job.error = INTERRUPTED.format(job_id=job_id)


def _change_some(database: Database, table: Table, condition: ColumnElement[bool]) -> int:
    """Delete some of the job's rows (of its files, remove only the reference to the job); return their number."""
    with database.write() as session:
        return delete_some(session, table, condition)


def delete_some(session: Session, table: Table, condition: ColumnElement[bool]) -> int:
    """Delete up to ``ROWS_AT_ONCE`` rows (of ``artifacts``, remove only the reference to the job); return their
    number."""
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    row: ColumnElement[object] = literal_column("rowid" if is_sqlite else "ctid")  # the row's location
    some = select(row).select_from(table).where(condition).limit(ROWS_AT_ONCE)
    chosen = row.in_(some) if is_sqlite else row == any_(func.array(some.scalar_subquery()))
    change = update(table).values(job_id=None) if table is Artifact.__table__ else delete(table)
    return int(session.connection().execute(change.where(chosen)).rowcount)
