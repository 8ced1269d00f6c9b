"""Metrics of the workers and their devices."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric
from sqlalchemy import select
from sqlalchemy.orm import Session

from producer.operations.metrics.families import gauge, gauges
from shared.database.connection import database_now
from shared.jobs.hosts import WORKER_ALIVE_SECONDS
from shared.jobs.tables import Worker

LABELS = ["worker", "device"]


def worker_metrics(session: Session) -> Iterator[Metric]:
    """Describe each worker that is registered, and the memory of its device if the worker reports it."""
    seen: dict[tuple[str, ...], float] = {}
    problem: dict[tuple[str, ...], float] = {}
    used: dict[tuple[str, ...], float] = {}
    size: dict[tuple[str, ...], float] = {}
    for worker, ago in session.execute(select(Worker, database_now() - Worker.seen_at).order_by(Worker.name)):
        labels = worker.name, worker.device
        seen[labels] = max(ago, 0.0)
        problem[labels] = worker.problem is not None
        if worker.memory_used is not None:
            used[labels] = worker.memory_used
        if worker.memory_total is not None:
            size[labels] = worker.memory_total
    alive = sum(ago < WORKER_ALIVE_SECONDS for ago in seen.values())
    help_text = f"Seconds since the worker was last seen; it is alive below {WORKER_ALIVE_SECONDS:g}"
    yield gauges("worker_seen_seconds", help_text, LABELS, seen)
    yield gauge("workers_alive", f"Workers seen in the last {WORKER_ALIVE_SECONDS:g} seconds", alive)
    help_text = "1 if the worker takes no shards or is restarted again and again: see `analyze doctor`"
    yield gauges("worker_problem", help_text, LABELS, problem)
    yield gauges("worker_memory_used_bytes", "Memory in use on the worker's device", LABELS, used)
    yield gauges("worker_memory_size_bytes", "Size of the memory of the worker's device", LABELS, size)
