"""Metrics for Prometheus, computed from the database at each scrape.

All exporters of a database report the same values. Counters survive restarts: they are in the table ``counters``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from shared.database.base import utc_now
from shared.database.connection import Database, database_now
from shared.errors import BrokerUnreachable, DatabaseUnreachable
from shared.jobs.broker import Broker
from shared.jobs.hosts import WORKER_ALIVE_SECONDS
from shared.jobs.ledger import RESUMED
from shared.jobs.tables import ACTIVE_JOBS, Counter, Job, JobState, Shard, ShardState, Worker
from shared.kinds.specification import QUEUES

COUNTERS = {
    "leases_lost": "Shards whose lease expired because their worker stopped sending heartbeats",
    "late_writes_refused": "Writes refused because the shard had been leased to another worker",
    "messages_ignored": "Messages ignored because their shard was finished or leased by another worker",
    "attempts_failed": "Attempts that ended with an error",
    "work_done": "Work done by finished shards, in images or what the stage counts",
}


class Metrics(Collector):
    """The service's state as metric families, all named ``unitscope_...``."""

    def __init__(self, database: Database, broker: Broker) -> None:
        self.database, self.broker = database, broker

    def describe(self) -> list[Metric]:
        """Return no metrics, so that registration doesn't query a database that may not answer."""
        return []

    def collect(self) -> Iterator[Metric]:
        try:
            with self.database.read() as session:
                families = [*_jobs(session), *_queues(session), *_workers(session), *_running(session)]
                families += _counters(session)
        except DatabaseUnreachable:
            yield _gauge("database_up", "Whether the database answers", 0)
        else:
            yield _gauge("database_up", "Whether the database answers", 1)
            yield from families
        yield from self._redis()

    def _redis(self) -> Iterator[Metric]:
        depth = GaugeMetricFamily("unitscope_queue_messages", "Messages waiting in Redis", labels=["queue"])
        try:
            for queue in QUEUES:
                depth.add_metric([queue], self.broker.depth(queue))
        except BrokerUnreachable:
            yield _gauge("redis_up", "Whether Redis answers", 0)
        else:
            yield _gauge("redis_up", "Whether Redis answers", 1)
            yield depth


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"unitscope_{name}", help_text, value=value)


def _jobs(session: Session) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("unitscope_jobs", "Number of jobs", labels=["kind", "state"])
    for kind, state, count in session.execute(
        select(Job.kind, Job.state, func.count()).group_by(Job.kind, Job.state)
    ):
        jobs.add_metric([kind, state], count)
    yield jobs
    shards = GaugeMetricFamily("unitscope_shards", "Number of shards", labels=["state"])
    by_state = select(Shard.state, func.count()).group_by(Shard.state)
    counts = {row[0]: row[1] for row in session.execute(by_state)}
    for state in ShardState:
        shards.add_metric([state], counts.get(state, 0))
    yield shards


def _queues(session: Session) -> Iterator[Metric]:
    """Count waiting shards. One waits since its message was sent or, without one, since its job was submitted."""
    waiting = GaugeMetricFamily(
        "unitscope_queue_shards", "Shards waiting for a worker, with or without a message", labels=["queue"]
    )
    age = GaugeMetricFamily("unitscope_queue_age_seconds", "Waiting time of the oldest of them", labels=["queue"])
    query = select(
        Shard.queue,
        func.count().label("shards"),
        (database_now() - func.min(Shard.sent_at)).label("sent"),
        func.max(case((Shard.sent_at.is_(None), 1), else_=0)).label("any_unsent"),
    )
    found = {
        row.queue: row
        for row in session.execute(query.where(Shard.state == ShardState.QUEUED).group_by(Shard.queue))
    }
    for queue in QUEUES:
        row = found.get(queue)
        waiting.add_metric([queue], row.shards if row else 0)
        seconds = max(row.sent or 0.0, 0.0) if row else 0.0
        if row and row.any_unsent:
            seconds = max(seconds, _seconds_since(_oldest_unsent(session, queue)))
        age.add_metric([queue], seconds)
    yield waiting
    yield age


def _oldest_unsent(session: Session, queue: str) -> datetime:
    unsent = (Shard.state == ShardState.QUEUED, Shard.queue == queue, Shard.sent_at.is_(None))
    query = select(func.min(Job.created_at)).where(
        Job.id.in_(select(Shard.job_id).where(*unsent)), Job.state.in_(ACTIVE_JOBS)
    )
    return session.scalar(query) or utc_now()


def _seconds_since(moment: datetime) -> float:
    return max(0.0, (utc_now() - moment).total_seconds())


def _workers(session: Session) -> Iterator[Metric]:
    seen = GaugeMetricFamily(
        "unitscope_worker_seen_seconds",
        f"Seconds since the worker was last seen; it is alive below {WORKER_ALIVE_SECONDS:g}",
        labels=["worker", "device"],
    )
    alive = 0
    for name, device, ago in session.execute(select(Worker.name, Worker.device, database_now() - Worker.seen_at)):
        seen.add_metric([name, device], max(ago, 0.0))
        alive += ago < WORKER_ALIVE_SECONDS
    yield seen
    yield _gauge("workers_alive", f"Workers seen in the last {WORKER_ALIVE_SECONDS:g} seconds", alive)


def _running(session: Session) -> Iterator[Metric]:
    """Sum the speeds of running shards; finished ones are in the counters."""
    speed = GaugeMetricFamily(
        "unitscope_work_per_second",
        "Speed of the running shards since each began, in images per second or what the stage counts",
        labels=["kind", "stage"],
    )
    resumed = func.coalesce(Shard.payload[RESUMED].as_integer(), 0)  # work of earlier attempts
    query = (
        select(Job.kind, Shard.stage_name, Shard.work_done - resumed, Shard.started_at)
        .join(Job, Job.id == Shard.job_id)
        .where(Shard.state == ShardState.RUNNING, Shard.lease_until >= database_now())
        .where(Job.state == JobState.RUNNING)
    )
    speeds: dict[tuple[str, str], float] = {}
    for kind, stage, done, began in session.execute(query):
        if began and (seconds := _seconds_since(began)) > 0:
            speeds[kind, stage] = speeds.get((kind, stage), 0.0) + max(done, 0) / seconds
    for labels, value in sorted(speeds.items()):
        speed.add_metric(labels, value)
    yield speed


def _counters(session: Session) -> Iterator[Metric]:
    rows = session.scalars(select(Counter).order_by(Counter.name, Counter.kind, Counter.stage)).all()
    values = {(row.name, row.kind, row.stage): row.value for row in rows}
    for name, help_text in COUNTERS.items():
        family = CounterMetricFamily(f"unitscope_{name}", help_text, labels=["kind", "stage"])
        for (counted, kind, stage), value in values.items():
            if counted == name:
                family.add_metric([kind, stage], value)
        yield family
    seconds = SummaryMetricFamily(
        "unitscope_shard_seconds", "Duration of the successful attempts at shards", labels=["kind", "stage"]
    )
    for (counted, kind, stage), value in values.items():
        if counted == "shards_done":
            seconds.add_metric([kind, stage], int(value), values["shard_seconds", kind, stage])
    yield seconds
