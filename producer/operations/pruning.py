"""Removal of finished jobs, and of events of finished jobs, that are older than a moment."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, delete, exists, func, select
from sqlalchemy.orm import Session, aliased

from shared.database.connection import Database
from shared.database.datasets import Dataset
from shared.jobs.removal import RemovableJob, dependents, remove_job
from shared.jobs.tables import ACTIVE_JOBS, Event, Job
from shared.kinds.registry import describe

IDS_AT_ONCE = 5_000
EVENTS_AT_ONCE = 10_000


@dataclass(frozen=True)
class Prunable:
    """What can be removed: jobs, newest first, and the number of old events of finished jobs that stay.

    ``in_use`` are the old jobs that stay, each with the jobs that use its results and stay as well.
    """

    jobs: list[RemovableJob]
    in_use: dict[int, list[int]]
    events: int


def find_prunable(database: Database, before: datetime, states: Collection[str], newest: int = 0) -> Prunable:
    """Find the finished jobs in ``states`` to which nothing happened since ``before``, and all other old events.

    Parameters
    ----------
    states
        States of the jobs; without any, only events are found.
    newest
        Number of finished jobs, the newest ones, that stay whatever their age.
    """
    with database.read() as session:
        old = list(session.scalars(_old_jobs(before, states, newest)))
        in_use = _in_use(session, old)
        chosen = [job_id for job_id in old if job_id not in in_use]
        jobs = [job for part in _parts(chosen) for job in _described(session, part)]
        counts = session.execute(
            select(Event.job_id, func.count()).where(_old_events(before)).group_by(Event.job_id)
        )
        removed = set(chosen)
        events = sum(count for job_id, count in counts if job_id not in removed)
    return Prunable(jobs, in_use, events)


def prune(database: Database, before: datetime, prunable: Prunable, on_job: Callable[[], None]) -> None:
    """Remove the jobs, then the events of finished jobs that are older than ``before``.

    Raises
    ------
    NoSuchJob, JobStillActive, JobInUse
        A job changed since ``find_prunable``; the jobs before it were removed.
    """
    for job in prunable.jobs:  # newest first: a job uses older ones only
        remove_job(database, job)
        on_job()
    old = select(Event.id).where(_old_events(before)).limit(EVENTS_AT_ONCE)
    while True:
        with database.write() as session:
            ids = session.scalars(old).all()
            session.execute(delete(Event).where(Event.id.in_(ids)))
        if len(ids) < EVENTS_AT_ONCE:
            return


def _old_jobs(before: datetime, states: Collection[str], newest: int) -> Select[int]:
    ended = func.coalesce(Job.finished_at, Job.created_at)
    # An imported job has the times of the exporting database, and an event of its import.
    touched = exists().where(Event.job_id == Job.id, Event.at >= before)
    query = select(Job.id).where(Job.state.in_(states), Job.state.not_in(ACTIVE_JOBS), ended < before, ~touched)
    if newest:
        other = aliased(Job)
        spared = select(other.id).where(other.state.not_in(ACTIVE_JOBS)).order_by(other.id.desc()).limit(newest)
        query = query.where(Job.id.not_in(spared))
    return query.order_by(Job.id.desc())


def _old_events(before: datetime) -> ColumnElement[bool]:
    finished = select(Job.id).where(Job.state.not_in(ACTIVE_JOBS))
    return and_(Event.at < before, Event.job_id.in_(finished))


def _in_use(session: Session, old: Sequence[int]) -> dict[int, list[int]]:
    """Return those of the jobs that must stay because jobs that stay use them, directly or not."""
    users: dict[int, list[int]] = {}
    for part in _parts(old):
        users |= dependents(session, part)
    going = set(old)
    for job_id in old:  # newest first, and users are newer than what they use
        if not going.issuperset(users.get(job_id, ())):
            going.remove(job_id)
    return {job_id: [user for user in users[job_id] if user not in going] for job_id in old if job_id not in going}


def _described(session: Session, job_ids: Sequence[int]) -> list[RemovableJob]:
    rows = session.execute(
        select(Job, Dataset.name)
        .join(Dataset, Dataset.id == Job.dataset_id)
        .where(Job.id.in_(job_ids))
        .order_by(Job.id.desc())
    )
    return [
        RemovableJob(job.id, job.kind, describe(job.kind, job.specification), dataset, job.stored_bytes)
        for job, dataset in rows
    ]


def _parts(job_ids: Sequence[int]) -> list[Sequence[int]]:
    """Split ids into parts below the databases' limits of parameters."""
    return [job_ids[start : start + IDS_AT_ONCE] for start in range(0, len(job_ids), IDS_AT_ONCE)]
