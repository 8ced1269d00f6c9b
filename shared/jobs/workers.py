"""Rows of worker processes: problems, rows of workers that are gone, and whether work is left for a worker."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import delete, exists, or_, select

from shared.database.connection import Database, database_now
from shared.jobs.hosts import WORKER_ALIVE_SECONDS, handed_back, hosts_without_data
from shared.jobs.precedence import is_paused, may_continue
from shared.jobs.tables import ACTIVE_JOBS, Counter, Job, Shard, ShardState, Worker

FORGOTTEN_SECONDS = 3600.0  # after which the row of a worker is removed that was not seen


def set_worker_problem(
    database: Database, name: str, device: str, queues: Sequence[str], pid: int, problem: str
) -> None:
    """Record why a worker can't work. A worker that has no row gets one, and is not alive."""
    with database.write() as session:
        worker = session.get(Worker, name)
        if worker is None:
            long_ago = session.scalars(select(database_now())).one() - WORKER_ALIVE_SECONDS
            worker = Worker(name=name, seen_at=long_ago)
            session.add(worker)
        worker.device, worker.queues, worker.pid, worker.problem = device, list(queues), pid, problem


def clear_worker_problem(database: Database, name: str, problem: str) -> None:
    """Record that a worker no longer has this problem; another one stays."""
    with database.write() as session:
        worker = session.get(Worker, name)
        if worker and worker.problem == problem:
            worker.problem = None


def workers_with_problems(database: Database) -> Sequence[Worker]:
    """Return the workers that have a problem, alive or not."""
    with database.read() as session:
        return session.scalars(select(Worker).where(Worker.problem.is_not(None)).order_by(Worker.name)).all()


def forget_workers(database: Database) -> None:
    """Remove the rows of workers that were not seen for an hour."""
    old = Worker.seen_at < database_now() - FORGOTTEN_SECONDS
    with database.read() as session:  # first, since it needs no lock
        found = session.scalar(select(exists().where(old)))
    if found:
        with database.write() as session:
            session.execute(delete(Worker).where(old))


def is_idle(database: Database, queues: Collection[str], host: str, workers: Collection[str]) -> bool:
    """Return whether ``workers`` run no shard, and none is queued except those that they leave to others: as their
    host can't read the images, or since others continue a shard that has paused.

    One query looks at both, since a transaction that ends a stage queues the shards of the next one. It is
    repeated after the look at those that may be left, which could have been claimed by then.
    """
    queued = (Shard.state == ShardState.QUEUED) & Shard.queue.in_(queues)
    running = (Shard.state == ShardState.RUNNING) & Shard.worker.in_(workers)
    may_be_left = handed_back() | Shard.paused_until.is_not(None)
    work = select(exists().where(or_(queued & ~may_be_left, running)))
    columns = (Shard.payload, Shard.paused_until, is_paused().label("is_paused"), Shard.worker, Shard.queue)
    with database.read() as session:
        if session.scalar(work):
            return False
        for shard in session.execute(select(*columns).where(queued, may_be_left)):
            continues = any(may_continue(session, worker, shard) for worker in workers)
            if continues and host not in hosts_without_data(shard.payload):
                return False
        return not session.scalar(work)


def typical_seconds(database: Database, queues: Collection[str]) -> float:
    """Return the mean duration of the slowest kind and stage that is queued or running; 0 if unknown."""
    due = select(Job.kind, Shard.stage_name).join(Job, Job.id == Shard.job_id).distinct()
    due = due.where(Shard.state.in_((ShardState.QUEUED, ShardState.RUNNING)), Shard.queue.in_(queues))
    names = ("shard_seconds", "shards_done")
    with database.read() as session:
        stages = [(row.kind, row.stage_name) for row in session.execute(due.where(Job.state.in_(ACTIVE_JOBS)))]
        counted = {
            (row.name, row.kind, row.stage): row.value
            for row in session.scalars(select(Counter).where(Counter.name.in_(names)))
        }
    means = [
        counted["shard_seconds", *stage] / counted["shards_done", *stage]
        for stage in stages
        if counted.get(("shards_done", *stage)) and ("shard_seconds", *stage) in counted
    ]
    return max(means, default=0.0)
