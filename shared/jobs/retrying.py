"""The retry of a job that has ended: which of its shards are queued again. Runs in the caller's transaction."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.orm import Session

from shared.errors import JobStateConflict, NotRepeatable
from shared.jobs.hosts import forget_hosts
from shared.jobs.left_out import forget_left_out, incomplete_shards
from shared.jobs.removal import dependents, list_job_ids
from shared.jobs.tables import ACTIVE_JOBS, Job, JobState, Shard, ShardState
from shared.jobs.transitions import add_event
from shared.kinds.registry import kinds

RETRY_REQUESTED = "retry requested"


def queue_again(session: Session, job: Job) -> None:
    """Queue the shards of a job again that a retry runs; see ``Ledger.retry``. The job's row is locked.

    Raises
    ------
    JobStateConflict, NotRepeatable
    """
    if job.state in ACTIVE_JOBS:
        raise JobStateConflict(job_id=job.id, state=job.state, action="retried")
    if not job.shards_total:
        raise JobStateConflict(job_id=job.id, state=job.state, action="retried: its removal has begun")
    unfinished = and_(Shard.job_id == job.id, Shard.state != ShardState.DONE)
    again = _shards_to_repeat(session, job)
    redone = or_(unfinished, again[1]) if again else unfinished
    unset = ("token", "lease_until", "sent_at", "error", "worker", "started_at", "finished_at", "paused_until")
    reset = {"attempt": 0, "work_done": 0, **dict.fromkeys(unset)}
    session.execute(update(Shard).where(redone).values(state=ShardState.WAITING, **reset))
    waiting = and_(Shard.job_id == job.id, Shard.state == ShardState.WAITING)
    stage = session.scalar(select(func.min(Shard.stage)).where(waiting))
    if stage is None:  # left by an interrupted import
        raise JobStateConflict(job_id=job.id, state=job.state, action="retried, having no shards")
    forget_hosts(session, waiting)
    if again:
        forget_left_out(session, waiting)
        job.summary = None
        job.shards_left = session.scalar(select(func.count()).select_from(Shard).where(waiting)) or 0
    session.flush()
    session.execute(update(Shard).where(waiting, Shard.stage == stage).values(state=ShardState.QUEUED))
    job.stage = stage
    job.state = JobState.QUEUED
    job.cancel_requested = False
    job.error = job.finished_at = None
    add_event(session, job.id, None, "info", RETRY_REQUESTED)
    if again:
        message = f"{again[0]} shards left out images and run again, with all shards of later stages"
        add_event(session, job.id, None, "info", message)


def _shards_to_repeat(session: Session, job: Job) -> tuple[int, ColumnElement[bool]] | None:
    """Return the done shards that a retry runs again: see ``incomplete_shards``.

    Raises
    ------
    JobStateConflict
        the job is done and left out no images, or an active job uses its results.
    NotRepeatable
        the job is done, and its kind can't run done shards again.
    """
    again = incomplete_shards(session, job)
    kind = kinds().get(job.kind)
    repeatable = kind is not None and kind.repeatable
    if job.state != JobState.DONE:
        return again if repeatable else None
    if again is None:
        raise JobStateConflict(job_id=job.id, state=job.state, action="retried")
    if not repeatable:
        raise NotRepeatable(job_id=job.id, kind=job.kind)
    users = dependents(session, [job.id]).get(job.id, [])
    active = session.scalars(select(Job.id).where(Job.id.in_(users), Job.state.in_(ACTIVE_JOBS))).all()
    if active:
        action = f"retried while its results are used by {list_job_ids(sorted(active))}"
        raise JobStateConflict(job_id=job.id, state=job.state, action=action)
    return again
