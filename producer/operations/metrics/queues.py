"""Metrics of the queues: waiting shards, and the workers that serve a queue."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from prometheus_client.core import Metric
from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from producer.operations.metrics.families import gauges, is_held
from shared.database.base import utc_now
from shared.database.connection import database_now
from shared.jobs.hosts import alive
from shared.jobs.tables import ACTIVE_JOBS, Job, Shard, ShardState, Worker
from shared.kinds.specification import QUEUES

Samples = dict[tuple[str, ...], float]


def queue_metrics(session: Session) -> Iterator[Metric]:
    """Count waiting shards, those that run, and workers.

    A shard waits since its message was sent or, without one, since its job was submitted.
    """
    waiting, age, running, workers = _zeros(), _zeros(), _zeros(), _zeros()
    query = select(
        Shard.queue,
        func.count().label("shards"),
        (database_now() - func.min(Shard.sent_at)).label("sent"),
        func.max(case((Shard.sent_at.is_(None), 1), else_=0)).label("any_unsent"),
    )
    for row in session.execute(query.where(Shard.state == ShardState.QUEUED).group_by(Shard.queue)):
        waiting[(row.queue,)] = row.shards
        unsent = _seconds_since(_oldest_unsent(session, row.queue)) if row.any_unsent else 0.0
        age[(row.queue,)] = max(row.sent or 0.0, unsent, 0.0)
    held = select(Shard.queue, func.count()).where(is_held()).group_by(Shard.queue)
    for queue, count in session.execute(held):
        running[(queue,)] = count
    for queues in session.scalars(select(Worker.queues).where(alive())):
        for queue in queues:
            workers[(queue,)] = workers.get((queue,), 0) + 1
    yield gauges("queue_shards", "Shards waiting for a worker, with or without a message", ["queue"], waiting)
    yield gauges("queue_age_seconds", "Waiting time of the oldest of them", ["queue"], age)
    yield gauges("queue_running_shards", "Shards of the queue that workers run", ["queue"], running)
    yield gauges("queue_workers", "Workers alive that serve the queue", ["queue"], workers)


def _zeros() -> Samples:
    return {(queue,): 0.0 for queue in QUEUES}


def _oldest_unsent(session: Session, queue: str) -> datetime:
    unsent = (Shard.state == ShardState.QUEUED, Shard.queue == queue, Shard.sent_at.is_(None))
    query = select(func.min(Job.created_at)).where(
        Job.id.in_(select(Shard.job_id).where(*unsent)), Job.state.in_(ACTIVE_JOBS)
    )
    return session.scalar(query) or utc_now()


def _seconds_since(moment: datetime) -> float:
    return max(0.0, (utc_now() - moment).total_seconds())
