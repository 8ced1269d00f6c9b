"""What a job waits for that has queued shards and none that runs, and about how long."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from producer.datasets.notes import number_of
from shared.database.base import utc_now
from shared.database.connection import database_now
from shared.errors import SpecificationNotReadable
from shared.jobs.hosts import alive
from shared.jobs.ledger import RESUMED
from shared.jobs.tables import ACTIVE_JOBS, Counter, Job, Shard, ShardState, Worker
from shared.kinds.registry import parse
from shared.kinds.specification import TimeSlice
from shared.text import duration

Stage = tuple[str, str]  # kind of job, name of the stage


@dataclass(frozen=True)
class Waiting:
    """Why none of a job's queued shards runs.

    Parameters
    ----------
    queues
        The queues of its shards.
    workers
        Number of running workers that serve one of them.
    jobs
        The jobs that these workers run.
    shards_before
        Number of queued shards of other jobs that go before it.
    paused
        Whether it lets other jobs have their turn.
    seconds
        Estimated time until one of its shards begins; None if nothing comparable was measured yet.
    """

    queues: list[str]
    workers: int
    jobs: list[int]
    shards_before: int
    paused: bool
    seconds: float | None


@dataclass(frozen=True)
class _Queued:
    """The queued shards of the job."""

    queues: list[str]
    first: int  # smallest id
    pause_left: float  # seconds; 0 if they don't pause


def waiting_for(session: Session, job: Job) -> Waiting | None:
    """Return what an active job waits for; None if one of its shards runs, or none is queued."""
    own = _queued(session, job) if job.state in ACTIVE_JOBS else None
    if own is None:
        return None
    rows = session.execute(select(Worker.name, Worker.queues).where(alive())).all()
    serving = {name: set(queues) for name, queues in rows if not set(own.queues).isdisjoint(queues)}
    running = _running(session, list(serving))
    means = _mean_seconds(session)
    before = _shards_before(session, job, own, set().union(*serving.values()))
    jobs = sorted({shard.job_id for shard in running})
    seconds = None
    if serving:
        left = [_seconds_left(shard, job, own, means) for shard in running]
        seconds = _wait([*left, *[0.0] * (len(serving) - len(running))], before, means)
    if seconds is not None and own.pause_left:
        seconds = min(seconds, max(own.pause_left, min((x for x in left if x is not None), default=0.0)))
    return Waiting(own.queues, len(serving), jobs, sum(before.values()), own.pause_left > 0, seconds)


def _queued(session: Session, job: Job) -> _Queued | None:
    of_job = Shard.job_id == job.id
    held = and_(Shard.state == ShardState.RUNNING, Shard.lease_until >= database_now())
    if session.scalar(select(Shard.id).where(of_job, held).limit(1)):
        return None
    pause = func.max(func.coalesce(Shard.paused_until, 0.0) - database_now())
    columns = (Shard.queue, func.min(Shard.id).label("first"), pause.label("pause"))
    rows = session.execute(select(*columns).where(of_job, Shard.state == ShardState.QUEUED).group_by(Shard.queue))
    found = rows.all()
    if not found:
        return None
    pause_left = max(0.0, max(row.pause for row in found))
    return _Queued(sorted(row.queue for row in found), min(row.first for row in found), pause_left)


def _running(session: Session, workers: Sequence[str]) -> Sequence[Any]:
    """Return the shards that these workers run, with their jobs."""
    resumed = func.coalesce(Shard.payload[RESUMED].as_integer(), 0).label("resumed")
    of_shard = (Shard.job_id, Shard.stage_name, Shard.queue, Shard.started_at, Shard.work_done, Shard.work_total)
    query = select(*of_shard, resumed, Job.kind, Job.priority, Job.specification)
    held = and_(Shard.state == ShardState.RUNNING, Shard.lease_until >= database_now())
    return session.execute(query.join(Job, Job.id == Shard.job_id).where(held, Shard.worker.in_(workers))).all()


def _shards_before(session: Session, job: Job, own: _Queued, queues: set[str]) -> dict[Stage, int]:
    """Count the queued shards of other jobs that go before those of the job, by kind and stage."""
    same = and_(Job.priority == job.priority, Shard.queue.in_(own.queues), Shard.id < own.first)
    before = or_(and_(Job.priority > job.priority, Shard.queue.in_(queues)), same)
    if own.pause_left:
        others = queues - set(own.queues)
        before = or_(before, and_(Job.priority == job.priority, Shard.queue.in_(others)))
    query = (
        select(Job.kind, Shard.stage_name, func.count())
        .join(Job, Job.id == Shard.job_id)
        .where(Shard.state == ShardState.QUEUED, Job.state.in_(ACTIVE_JOBS), Job.id != job.id, before)
        .group_by(Job.kind, Shard.stage_name)
    )
    return {(kind, stage): count for kind, stage, count in session.execute(query)}


def _mean_seconds(session: Session) -> dict[Stage, float]:
    """Return the mean duration of the shards of each kind and stage that were done."""
    sums: dict[tuple[str, str, str], float] = {}
    names = ("shard_seconds", "shards_done")
    for row in session.scalars(select(Counter).where(Counter.name.in_(names))):
        sums[row.name, row.kind, row.stage] = row.value
    return {
        (kind, stage): sums.get(("shard_seconds", kind, stage), 0.0) / count
        for (name, kind, stage), count in sums.items()
        if name == "shards_done" and count
    }


def _seconds_left(shard: Any, job: Job, own: _Queued, means: Mapping[Stage, float]) -> float | None:
    """Return in how many seconds a running shard ends, or lets the job run; None if unknown."""
    elapsed = max((utc_now() - shard.started_at).total_seconds(), 0.0)
    done = shard.work_done - shard.resumed
    if done <= 0 or elapsed <= 0:
        mean = means.get((shard.kind, shard.stage_name))
        return None if mean is None else max(mean - elapsed, 0.0)
    rate = done / elapsed
    work = shard.work_total - shard.work_done
    time_slice = _time_slice(shard)
    if time_slice and job.priority > shard.priority:
        work = min(work, _work_until_pause(shard, time_slice, 0.0))
    elif time_slice and job.priority == shard.priority and shard.queue not in own.queues:
        work = min(work, _work_until_pause(shard, time_slice, max(time_slice.seconds - elapsed, 0.0) * rate))
    return float(work / rate)


def _time_slice(shard: Any) -> TimeSlice | None:
    try:
        return parse(shard.kind, shard.specification).time_slice
    except SpecificationNotReadable:
        return None


def _work_until_pause(shard: Any, time_slice: TimeSlice, at_least: float) -> int:
    """Return the work up to the first moment at which a shard can pause, after more work of ``at_least``."""
    until = math.ceil((shard.work_done + at_least) / time_slice.work) * time_slice.work
    return int(until - shard.work_done)


def _wait(left: Sequence[float | None], before: Mapping[Stage, int], means: Mapping[Stage, float]) -> float | None:
    """Return when a worker is free, each of which has ``left`` seconds to go; None if unknown."""
    known = [seconds for seconds in left if seconds is not None]
    if not before:
        return min(known) if known and (len(known) == len(left) or min(known) == 0) else None
    if len(known) < len(left) or not set(before) <= set(means):
        return None
    work = sum(count * means[stage] for stage, count in before.items())
    return max(min(known), (sum(known) + work) / len(known))


def waiting_text(waiting: Waiting) -> str:
    """Describe what a job waits for, and about how long."""
    if not waiting.workers:
        queues = f"the queue{'s' * (len(waiting.queues) > 1)} {', '.join(waiting.queues)}"
        start = "`analyze up` or `analyze worker` starts one"
        return f"waits for a worker: none that is running serves {queues}. {start}."
    workers = number_of(waiting.workers, "worker")
    text = f"waits for {workers}" if not waiting.paused else f"pauses for other jobs, and waits for {workers}"
    if waiting.jobs:
        text += f", busy with job{'s' * (len(waiting.jobs) > 1)} {', '.join(map(str, waiting.jobs))}"
    if waiting.shards_before:
        text += f"; {number_of(waiting.shards_before, 'shard')} of other jobs before it"
    return f"{text}; time: {'unknown' if waiting.seconds is None else f'about {duration(waiting.seconds)}'}"
