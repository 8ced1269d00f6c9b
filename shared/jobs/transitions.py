"""What the ledger's transitions are made of: each works in a transaction that has begun.

A function that changes shards expects the job's row to be locked (``lock_job``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, and_, exists, func, insert, select, update
from sqlalchemy.orm import Session

from shared.database.base import utc_now
from shared.database.connection import upserting
from shared.database.datasets import Dataset
from shared.errors import DatasetGone, JobRemoved, JobStateConflict, NoSuchJob
from shared.jobs.tables import ACTIVE_JOBS, Counter, Event, Job, JobState, RemovedJob, Shard, ShardState
from shared.kinds.registry import kinds
from shared.kinds.specification import PlannedShard, Specification

MAX_ATTEMPTS = 3
INSERTED_AT_ONCE = 5000  # shards: their rows are not all in memory at the same time


def lock_job(session: Session, job_id: int) -> Job:
    """The job's row, locked: always before its shards' rows, so that no two transitions deadlock, and two
    last shards of a stage can't pass each other unseen. NO KEY: rows that refer to it may be inserted."""
    locked = select(Job).where(Job.id == job_id).with_for_update(key_share=True)
    job = session.scalars(locked).one_or_none()
    if job is None:
        raise missing_job(session, job_id)
    return job


def missing_job(session: Session, job_id: int) -> NoSuchJob:
    """Return the error for a job that is not there: it was removed, or never existed."""
    removed = session.get(RemovedJob, job_id)
    if removed is None:
        return NoSuchJob(job_id=job_id)
    return JobRemoved(job_id=job_id, description=removed.description, date=f"{removed.removed_at:%Y-%m-%d}")


def unused_job_id(session: Session) -> int | None:
    """Return the number of the next job, which no removed job had; None: the database's sequence has it.

    SQLite gives the number of a deleted row to the next one. Nobody else inserts meanwhile: a writing transaction
    has the database for itself.
    """
    if session.get_bind().dialect.name != "sqlite":
        return None
    largest = [session.scalar(select(func.max(table.id))) or 0 for table in (Job, RemovedJob)]
    return max(largest) + 1


def require_what_is_used(session: Session, specification: Specification) -> None:
    """Check that the data set of a new job, and the jobs whose results it uses, are still there.

    They cannot be removed until the transaction ends.

    Raises
    ------
    DatasetGone, NoSuchJob, JobStateConflict
    """
    dataset = select(Dataset.fingerprint).where(Dataset.id == specification.dataset_id)
    if session.scalar(dataset.with_for_update(read=True, key_share=True)) != specification.dataset_fingerprint:
        raise DatasetGone(dataset_id=specification.dataset_id)
    for field in kinds()[specification.kind].other_jobs:
        if (job_id := getattr(specification, field)) is None:
            continue
        # KEY SHARE: it conflicts with the lock of a removal, and with no transition's.
        locked = select(Job.state).where(Job.id == job_id).with_for_update(read=True, key_share=True)
        state = session.scalar(locked)
        if state is None:
            raise missing_job(session, job_id)
        if state != JobState.DONE:
            raise JobStateConflict(job_id=job_id, state=state, action="used by another one")


def end_job(session: Session, job: Job, state: JobState, error: str | None) -> None:
    """The job failed or was cancelled: so are all its shards that aren't done."""
    job.state = state
    job.error = error
    job.finished_at = utc_now()
    stop_idle_shards(session, job.id)
    # Shards still running lose their claim: their workers notice at the next heartbeat.
    session.execute(
        update(Shard)
        .where(Shard.job_id == job.id, Shard.state == ShardState.RUNNING)
        .values(state=ShardState.CANCELLED, token=None, lease_until=None, finished_at=utc_now())
    )
    note(session, job.id, None, "error" if error else "info", f"job {state}")


def stop_idle_shards(session: Session, job_id: int) -> None:
    """Cancel what no worker holds."""
    session.execute(
        update(Shard)
        .where(Shard.job_id == job_id, Shard.state.in_((ShardState.WAITING, ShardState.QUEUED)))
        .values(state=ShardState.CANCELLED, finished_at=utc_now())
    )


def end_if_cancelled(session: Session, job: Job) -> None:
    """A cancelled job ends with its last running shard."""
    session.flush()
    running = exists().where(Shard.job_id == job.id, Shard.state == ShardState.RUNNING)
    if job.cancel_requested and not session.scalar(select(running)):
        end_job(session, job, JobState.CANCELLED, None)


def insert_job(
    session: Session, specification: Specification, planned: Sequence[PlannedShard], generation: int
) -> int:
    """A new job with all its shards: those of the first stage are queued. Returns its id."""
    require_what_is_used(session, specification)
    stages = list(dict.fromkeys(shard.stage for shard in planned))
    job = Job(
        id=unused_job_id(session),
        kind=specification.kind,
        key=specification.key(),
        generation=generation,
        specification=specification.model_dump(mode="json"),
        dataset_id=specification.dataset_id,
        shards_total=len(planned),
        shards_left=len(planned),
    )
    session.add(job)
    session.flush()
    for first in range(0, len(planned), INSERTED_AT_ONCE):
        session.execute(
            insert(Shard),
            [
                {
                    "job_id": job.id,
                    "stage": stages.index(shard.stage),
                    "stage_name": shard.stage,
                    "number": number,
                    "queue": shard.queue,
                    "payload": shard.payload,
                    "state": ShardState.QUEUED if shard.stage == stages[0] else ShardState.WAITING,
                    "work_total": shard.work,
                }
                for number, shard in enumerate(planned[first : first + INSERTED_AT_ONCE], first)
            ],
        )
    note(session, job.id, None, "info", f"submitted: {len(planned)} shards")
    return job.id


def open_next_stage(session: Session, job: Job) -> None:
    """Unless a shard of this one is still queued or running. A job can have 100,000: they aren't counted."""
    busy = Shard.state.in_((ShardState.QUEUED, ShardState.RUNNING))
    if session.scalar(select(exists().where(Shard.job_id == job.id, busy))):
        return
    waiting = and_(Shard.job_id == job.id, Shard.state == ShardState.WAITING)
    job.stage = session.scalars(select(func.min(Shard.stage)).where(waiting)).one()
    session.execute(update(Shard).where(waiting, Shard.stage == job.stage).values(state=ShardState.QUEUED))


def take_back(session: Session, job: Job, shard: Shard, lost: str) -> None:
    """Take a shard from a worker that is gone, ``lost`` being why: it is queued again, or fails with its job."""
    failed = job.state in ACTIVE_JOBS and not job.cancel_requested and shard.attempt >= MAX_ATTEMPTS
    note(session, job.id, shard.id, "error" if failed else "warning", f"{shard.stage_name}: {lost}")
    shard.token = shard.lease_until = shard.sent_at = None
    if job.state not in ACTIVE_JOBS:  # it was ended over another of its shards a moment ago
        shard.state, shard.finished_at = ShardState.CANCELLED, utc_now()
    elif job.cancel_requested:
        shard.state, shard.finished_at = ShardState.CANCELLED, utc_now()
        end_if_cancelled(session, job)
    elif failed:
        shard.state, shard.finished_at = ShardState.FAILED, utc_now()
        shard.error = lost
        session.flush()
        end_job(session, job, JobState.FAILED, f"Shard {shard.number} ({shard.stage_name}): {lost}.")
    else:
        shard.state = ShardState.QUEUED
        session.flush()


def set_sent_at(session: Session, shard_ids: Select[int], value: Any) -> Sequence[Any]:
    """Change when these shards were last sent; returns (id, queue) of those that were changed.

    What another transaction holds is passed over, not waited for: its job is being changed, and the next sweep
    looks again. Waiting for many rows in no special order could deadlock.
    """
    return session.execute(
        update(Shard)
        .where(Shard.id.in_(shard_ids.with_for_update(skip_locked=True).scalar_subquery()))
        .values(sent_at=value)
        .returning(Shard.id, Shard.queue)
        .execution_options(synchronize_session=False)
    ).all()


def raise_counter(session: Session, name: str, kind: str, stage: str, by: float = 1) -> None:
    """Raise a counter. Everybody's transactions meet at its row: so it comes last in each, and always in the same
    order, or two could wait for each other."""
    row = upserting(session, Counter).values(name=name, kind=kind, stage=stage, value=by)
    raised = row.on_conflict_do_update(
        index_elements=["name", "kind", "stage"], set_={"value": Counter.value + row.excluded.value}
    )
    session.execute(raised)


def note(session: Session, job_id: int, shard_id: int | None, level: str, message: str) -> None:
    """Add a line to a job's log."""
    session.add(Event(job_id=job_id, shard_id=shard_id, level=level, message=message))
