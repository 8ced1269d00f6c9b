"""What runs now: active jobs, the shards of a job, workers, and queues."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, case, func, select
from sqlalchemy.orm import Session

from producer.results.jobs import find_job
from producer.results.progress import share_of, stages_of
from shared.database.base import utc_now
from shared.database.connection import Database, database_now
from shared.database.datasets import Dataset
from shared.jobs.hosts import WORKER_ALIVE_SECONDS
from shared.jobs.ledger import RESUMED
from shared.jobs.tables import ACTIVE_JOBS, Job, JobState, Shard, ShardState, Worker
from shared.kinds.registry import describe, work_unit
from shared.kinds.specification import QUEUES

MOST_ACTIVE = 10  # jobs whose progress is computed


@dataclass(frozen=True)
class ActiveJob:
    """A job that runs or waits, and its first unfinished stage with its speed, in ``unit`` per second.

    ``unit`` is None if the stage's work is internal; ``seconds_left`` is that of the stage.
    """

    id: int
    what: str
    dataset: str
    state: str
    share: float  # of its shards that are done, 0 to 1
    stage: str | None
    unit: str | None
    per_second: float | None
    seconds_left: float | None


@dataclass(frozen=True)
class ShardRow:
    """A shard of a job. ``per_second`` is its speed while it runs."""

    id: int
    stage: str
    number: int
    state: str
    attempt: int
    worker: str | None
    done: int
    total: int
    unit: str | None
    per_second: float | None
    seconds_left: float | None
    started_at: datetime | None
    finished_at: datetime | None
    error: str | None


@dataclass(frozen=True)
class WorkerRow:
    """A worker, and the shard that it runs."""

    name: str
    device: str
    queues: list[str]
    alive: bool
    seen_seconds: float  # since it was last seen
    problem: str | None
    memory_used: int | None  # of its device, in bytes
    memory_total: int | None
    started_at: datetime
    job_id: int | None
    what: str | None
    shard: ShardRow | None


@dataclass(frozen=True)
class QueueRow:
    """A queue: what waits in it, what runs, and the workers alive that serve it."""

    name: str
    jobs_waiting: int
    shards_waiting: int
    shards_running: int
    workers: int


def active_jobs(database: Database, limit: int = MOST_ACTIVE) -> tuple[list[ActiveJob], int]:
    """Return the progress of the first ``limit`` active jobs, running ones first, and the number of all."""
    waits = case((Job.state == JobState.RUNNING, 0), else_=1)
    active = Job.state.in_(ACTIVE_JOBS)
    query = select(Job, Dataset.name).join(Dataset, Dataset.id == Job.dataset_id).where(active)
    with database.read() as session:
        count = session.scalar(select(func.count()).select_from(Job).where(active)) or 0
        rows = session.execute(query.order_by(waits, Job.priority.desc(), Job.id).limit(limit)).all()
        stages = stages_of(session, [job.id for job, _ in rows]) if rows else {}
    found = []
    for job, dataset in rows:
        of_job = stages.get(job.id, [])
        current = next((stage for stage in of_job if stage.done < stage.total), None)
        found.append(
            ActiveJob(
                job.id,
                describe(job.kind, job.specification),
                dataset,
                job.state,
                share_of(of_job, job.shards_total),
                current.name if current else None,
                work_unit(job.kind, current.name) if current else None,
                current.per_second if current else None,
                current.seconds_left if current else None,
            )
        )
    return found, count


def running_shards(database: Database, job_id: int, limit: int) -> list[ShardRow]:
    """Return the shards of a job that workers run, the first ``limit``."""
    query = _shards().where(Shard.job_id == job_id, _held()).order_by(Shard.id).limit(limit)
    with database.read() as session:
        return [_shard(row) for row in session.execute(query)]


def shard_rows(
    database: Database, job_id: int, state: str | None, after: int, limit: int
) -> tuple[list[ShardRow], bool]:
    """Return ``limit`` shards of a job with ids above ``after``, and whether there are more.

    Raises
    ------
    NoSuchJob
    """
    query = _shards().where(Shard.job_id == job_id, Shard.id > after)
    if state:
        query = query.where(Shard.state == state)
    with database.read() as session:
        find_job(session, job_id)
        rows = session.execute(query.order_by(Shard.id).limit(limit + 1)).all()
    return [_shard(row) for row in rows[:limit]], len(rows) > limit


def list_workers(database: Database) -> list[WorkerRow]:
    """Return the workers that were seen in the last hour, by name, with what they run."""
    with database.read() as session:
        seen = (database_now() - Worker.seen_at).label("seen")
        workers = session.execute(select(Worker, seen).order_by(Worker.name)).all()
        running = {row.worker: row for row in session.execute(_shards().where(_held()).order_by(Shard.id))}
    return [_worker(worker, ago, running.get(worker.name)) for worker, ago in workers]


def list_queues(database: Database) -> list[QueueRow]:
    """Return all queues, and others that a shard or a worker names."""
    with database.read() as session:
        waiting = _counts(session, Shard.state == ShardState.QUEUED)
        running = _counts(session, _held())
        alive = Worker.seen_at > database_now() - WORKER_ALIVE_SECONDS
        served = [queue for queues in session.scalars(select(Worker.queues).where(alive)) for queue in queues]
    return [
        QueueRow(name, *waiting.get(name, (0, 0)), running.get(name, (0, 0))[1], served.count(name))
        for name in dict.fromkeys([*QUEUES, *sorted(waiting), *sorted(running)])
    ]


def _counts(session: Session, condition: Any) -> dict[str, tuple[int, int]]:
    """Count jobs and shards by queue."""
    query = select(Shard.queue, func.count(Shard.job_id.distinct()), func.count()).where(condition)
    return {queue: (jobs, shards) for queue, jobs, shards in session.execute(query.group_by(Shard.queue))}


def _held() -> Any:
    return and_(Shard.state == ShardState.RUNNING, Shard.lease_until >= database_now())


def _shards() -> Any:
    """Build the query of shards with their jobs; payloads are not read, which can be large."""
    resumed = func.coalesce(Shard.payload[RESUMED].as_integer(), 0).label("resumed")
    columns = (
        Shard.id, Shard.job_id, Shard.stage_name, Shard.number, Shard.state, Shard.attempt, Shard.worker,
        Shard.work_done, Shard.work_total, Shard.started_at, Shard.finished_at, Shard.error,
    )  # fmt: skip
    return select(*columns, resumed, Job.kind, Job.specification).join(Job, Job.id == Shard.job_id)


def _shard(row: Any) -> ShardRow:
    speed = left = None
    if row.state == ShardState.RUNNING and row.started_at:
        seconds = (utc_now() - row.started_at).total_seconds()
        done = row.work_done - row.resumed
        if seconds > 0 and done > 0:
            speed = done / seconds
            left = (row.work_total - row.work_done) / speed
    unit = work_unit(row.kind, row.stage_name)
    return ShardRow(
        row.id, row.stage_name, row.number, row.state, row.attempt, row.worker, row.work_done, row.work_total,
        unit, speed, left, row.started_at, row.finished_at, row.error,
    )  # fmt: skip


def _worker(worker: Worker, ago: float, row: Any) -> WorkerRow:
    return WorkerRow(
        worker.name,
        worker.device,
        list(worker.queues),
        ago < WORKER_ALIVE_SECONDS,
        max(ago, 0.0),
        worker.problem,
        worker.memory_used,
        worker.memory_total,
        worker.started_at,
        row.job_id if row else None,
        describe(row.kind, row.specification) if row else None,
        _shard(row) if row else None,
    )
