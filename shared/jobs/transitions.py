"""Steps of the ledger's transitions. Each runs in the caller's transaction.

A function that changes shards expects the job's row to be locked (``lock_job``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, and_, exists, func, insert, select, update
from sqlalchemy.orm import Session

from shared.database.base import utc_now
from shared.database.datasets import Dataset
from shared.errors import DatasetGone, JobRemoved, JobStateConflict, NoSuchJob
from shared.jobs.tables import ACTIVE_JOBS, Event, Job, JobState, RemovedJob, Shard, ShardState
from shared.kinds.registry import kinds
from shared.kinds.specification import PlannedShard, Specification

MAX_ATTEMPTS = 3
INSERTED_AT_ONCE = 5000  # shards, to limit the memory of their rows


def find_and_lock_job(session: Session, job_id: int) -> Job | None:
    """Lock and return the job's row, or None if the job was removed. It is always locked before its shards' rows,
    so that transitions do not deadlock, and so that of two shards that end a stage concurrently the second sees
    the first. FOR NO KEY UPDATE lets other transactions insert rows that refer to the job."""
    locked = select(Job).where(Job.id == job_id).with_for_update(key_share=True)
    return session.scalars(locked).one_or_none()


def lock_job(session: Session, job_id: int) -> Job:
    """Lock and return the row of a job that a user named.

    Raises
    ------
    NoSuchJob
    """
    job = find_and_lock_job(session, job_id)
    if job is None:
        raise missing_job(session, job_id)
    return job


def missing_job(session: Session, job_id: int) -> NoSuchJob:
    """Return the error for a job that does not exist: ``JobRemoved`` if it was removed, else ``NoSuchJob``."""
    removed = session.get(RemovedJob, job_id)
    if removed is None:
        return NoSuchJob(job_id=job_id)
    return JobRemoved(job_id=job_id, description=removed.description, date=f"{removed.removed_at:%Y-%m-%d} (UTC)")


def unused_job_id(session: Session) -> int | None:
    """Return an id for a new job that no removed job had, or None on PostgreSQL, whose sequence does not reuse
    ids.

    SQLite would reuse the id of a deleted last row. No other transaction can insert a job at the same time, since
    a writing transaction locks the SQLite file.
    """
    if session.get_bind().dialect.name != "sqlite":
        return None
    largest = [session.scalar(select(func.max(table.id))) or 0 for table in (Job, RemovedJob)]
    return max(largest) + 1


def require_what_is_used(session: Session, specification: Specification) -> None:
    """Check that the data set of a new job and the jobs whose results it uses exist, and lock them against removal
    until the transaction ends.

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
        # FOR KEY SHARE conflicts with the lock of a removal, but not with those of the ledger's transitions.
        locked = select(Job.state).where(Job.id == job_id).with_for_update(read=True, key_share=True)
        state = session.scalar(locked)
        if state is None:
            raise missing_job(session, job_id)
        if state != JobState.DONE:
            raise JobStateConflict(job_id=job_id, state=state, action="used by another one")


def end_job(session: Session, job: Job, state: JobState, error: str | None) -> None:
    """End a job as failed or cancelled, and cancel its unfinished shards."""
    job.state = state
    job.error = error
    job.finished_at = utc_now()
    stop_idle_shards(session, job.id)
    # Running shards lose their claim; their workers learn of it at the next heartbeat.
    session.execute(
        update(Shard)
        .where(Shard.job_id == job.id, Shard.state == ShardState.RUNNING)
        .values(state=ShardState.CANCELLED, token=None, lease_until=None, finished_at=utc_now())
    )
    add_event(session, job.id, None, "error" if error else "info", f"job {state}")


def stop_idle_shards(session: Session, job_id: int) -> None:
    """Cancel the waiting and queued shards of a job."""
    session.execute(
        update(Shard)
        .where(Shard.job_id == job_id, Shard.state.in_((ShardState.WAITING, ShardState.QUEUED)))
        .values(state=ShardState.CANCELLED, finished_at=utc_now())
    )


def end_if_cancelled(session: Session, job: Job) -> None:
    """End the job as cancelled if a cancel was requested and none of its shards is running."""
    session.flush()
    running = exists().where(Shard.job_id == job.id, Shard.state == ShardState.RUNNING)
    if job.cancel_requested and not session.scalar(select(running)):
        end_job(session, job, JobState.CANCELLED, None)


def insert_job(
    session: Session,
    specification: Specification,
    planned: Sequence[PlannedShard],
    generation: int,
    priority: int = 0,
) -> int:
    """Insert a job with all its shards, of which those of the first stage are queued; return its id."""
    require_what_is_used(session, specification)
    stages = list(dict.fromkeys(shard.stage for shard in planned))
    job = Job(
        id=unused_job_id(session),
        kind=specification.kind,
        key=specification.key(),
        generation=generation,
        specification=specification.model_dump(mode="json"),
        dataset_id=specification.dataset_id,
        priority=priority,
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
    add_event(session, job.id, None, "info", f"submitted: {len(planned)} shards")
    return job.id


def open_next_stage(session: Session, job: Job) -> None:
    """Queue the next stage's shards, unless a shard of this stage is queued or running. This uses EXISTS instead
    of a count, since a job can have 100,000 shards."""
    busy = Shard.state.in_((ShardState.QUEUED, ShardState.RUNNING))
    if session.scalar(select(exists().where(Shard.job_id == job.id, busy))):
        return
    waiting = and_(Shard.job_id == job.id, Shard.state == ShardState.WAITING)
    job.stage = session.scalars(select(func.min(Shard.stage)).where(waiting)).one()
    session.execute(update(Shard).where(waiting, Shard.stage == job.stage).values(state=ShardState.QUEUED))


def reclaim(session: Session, job: Job, shard: Shard, reason: str) -> None:
    """Reclaim a shard whose worker is gone: queue it again, cancel it if its job has ended or is being cancelled,
    or fail it and its job if no attempts are left. ``reason`` is logged."""
    failed = job.state in ACTIVE_JOBS and not job.cancel_requested and shard.attempt >= MAX_ATTEMPTS
    add_event(session, job.id, shard.id, "error" if failed else "warning", f"{shard.stage_name}: {reason}")
    shard.token = shard.lease_until = shard.sent_at = None
    if job.state not in ACTIVE_JOBS:  # another shard of the job ended it in this transaction
        shard.state, shard.finished_at = ShardState.CANCELLED, utc_now()
    elif job.cancel_requested:
        shard.state, shard.finished_at = ShardState.CANCELLED, utc_now()
        end_if_cancelled(session, job)
    elif failed:
        shard.state, shard.finished_at = ShardState.FAILED, utc_now()
        shard.error = reason
        session.flush()
        end_job(session, job, JobState.FAILED, f"Shard {shard.number} ({shard.stage_name}): {reason}.")
    else:
        shard.state = ShardState.QUEUED
        session.flush()


def set_sent_at(session: Session, shard_ids: Select[int], value: Any) -> Sequence[Any]:
    """Set ``sent_at`` of these shards; return (id, queue) of the shards that were updated.

    Rows locked by another transaction are skipped: their job is being changed, and the next sweep includes them.
    Waiting for many rows in an undefined order could deadlock.

    The ids are selected in a materialized CTE. PostgreSQL may run a subquery of the condition again for each row
    of the table, and since every run skips the rows that the earlier ones have changed, the limit of the query
    would not hold.
    """
    chosen = shard_ids.with_for_update(skip_locked=True).cte("chosen").prefix_with("MATERIALIZED")
    return session.execute(
        update(Shard)
        .where(Shard.id.in_(select(chosen.c.id)))
        .values(sent_at=value)
        .returning(Shard.id, Shard.queue)
        .execution_options(synchronize_session=False)
    ).all()


def add_event(session: Session, job_id: int, shard_id: int | None, level: str, message: str) -> None:
    """Add an event to a job's log."""
    session.add(Event(job_id=job_id, shard_id=shard_id, level=level, message=message))
