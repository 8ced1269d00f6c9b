"""Which queued shard a worker runs first: by the priorities of jobs, and by pauses of long shards.

A message only says that a worker is free. The worker then claims the shard of the message, unless another one that
it can run goes before it: one of a job of higher priority or, while the shard pauses, one of the same priority in
another of its queues. A shard that has paused goes before others of its queue and priority, which wait for its
end: on their messages the worker decides as on its own.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, String, and_, exists, func, or_, select
from sqlalchemy.orm import Session

from shared.database.connection import database_now
from shared.jobs.hosts import NAME, alive, handed_back, host_of, hosts_without_data
from shared.jobs.tables import ACTIVE_JOBS, Job, Shard, ShardState, Worker
from shared.jobs.transitions import MAX_ATTEMPTS


@dataclass(frozen=True)
class Taker:
    """A worker that is about to take a shard.

    Parameters
    ----------
    worker
        Its name.
    queues
        The queues that it serves; without any it takes no other shard than that of its message.
    missing
        Data sets that its machine can't read.
    """

    worker: str
    queues: Collection[str] = ()
    missing: Collection[int] = ()


def precedence(shard_id: int | ColumnElement[int]) -> Select[Any]:
    """Build the query of what a claim of a shard depends on."""
    columns = (Shard.job_id, Shard.stage_name, Shard.state, Shard.queue, Shard.payload, Shard.worker)
    query = select(*columns, Shard.paused_until, is_paused().label("is_paused"), Job.priority)
    return query.join(Job, Job.id == Shard.job_id).where(Shard.id == shard_id)


def takeable_shard(job_id: int, taker: Taker) -> Select[int]:
    """Build the query of a queued shard of a job that a worker can take."""
    of_job = and_(Shard.job_id == job_id, Shard.state == ShardState.QUEUED)
    return select(Shard.id).where(of_job, takeable(taker, taker.queues)).limit(1)


def is_paused() -> ColumnElement[bool]:
    """Return the condition that a queued shard pauses."""
    return Shard.paused_until > database_now()


def job_instead(session: Session, taker: Taker, shard: Any) -> int | None:
    """Return the job of which the worker runs a shard instead of this queued one, or None.

    ``shard`` is a row of ``precedence``.
    """
    begun = None
    if shard.paused_until is None and shard.queue in taker.queues:  # else a forged message: it has no other shard
        begun = session.execute(_paused(taker, shard.queue, shard.priority)).first()
    paused = bool(begun.is_paused if begun else shard.is_paused)
    before = job_before(session, taker, shard.queue, shard.priority, paused=paused)
    if before is None:
        return begun.id if begun else None
    higher = session.execute(precedence(takeable_shard(before, taker).scalar_subquery())).one_or_none()
    if higher is None or higher.priority == shard.priority:
        return before
    return job_instead(session, taker, higher) or before  # once: no job has a higher priority than this one


def _paused(taker: Taker, queue: str, priority: int) -> Select[int, bool]:
    """Build the query of the job whose shard has paused and goes before others of this queue and priority."""
    queued = and_(Shard.job_id == Job.id, Shard.state == ShardState.QUEUED)
    # Of each job, so that the index of its shards is used. For the same reason compared with 0: not IS NOT NULL.
    until = select(func.min(Shard.paused_until)).where(queued, takeable(taker, [queue]), Shard.paused_until > 0)
    ends = until.scalar_subquery()
    query = select(Job.id, (ends > database_now()).label("is_paused"))
    query = query.where(Job.state.in_(ACTIVE_JOBS), ~Job.cancel_requested, Job.priority == priority)
    if taker.missing:
        query = query.where(Job.dataset_id.not_in(taker.missing))
    return query.where(ends.is_not(None)).order_by(ends).limit(1)


def job_before(session: Session, taker: Taker, queue: str, priority: int, *, paused: bool) -> int | None:
    """Return the job of a shard that the worker runs before a shard of this queue and priority, or None.

    It is the oldest one of the highest priority.
    """
    queued = and_(Shard.job_id == Job.id, Shard.state == ShardState.QUEUED)
    before = and_(Job.priority > priority, exists().where(queued, takeable(taker, taker.queues)))
    if paused:
        others = [name for name in taker.queues if name != queue]
        same = exists().where(queued, takeable(taker, others), Shard.paused_until.is_(None))
        before = or_(before, and_(Job.priority == priority, same))
    query = select(Job.id).where(Job.state.in_(ACTIVE_JOBS), ~Job.cancel_requested, before)
    if taker.missing:
        query = query.where(Job.dataset_id.not_in(taker.missing))
    return session.scalar(query.order_by(Job.priority.desc(), Job.id).limit(1))


def takeable(taker: Taker, queues: Collection[str]) -> ColumnElement[bool]:
    """Return the condition that a worker can take a queued shard instead of that of its message."""
    left = handed_back() & Shard.payload.cast(String).contains(f'"{host_of(taker.worker)}"', autoescape=True)
    own = or_(Shard.worker == taker.worker, Shard.worker.startswith(_place(taker.worker), autoescape=True))
    claimable = and_(Shard.queue.in_(queues), Shard.attempt < MAX_ATTEMPTS)
    return and_(claimable, ~left, or_(Shard.paused_until.is_(None), own))


def may_continue(session: Session, worker: str, shard: Any) -> bool:
    """Return whether a worker may continue a shard that has paused: one on the machine and kind of device of its
    last worker; once the pause is over, one on this kind of device elsewhere; or, if no worker is alive on that
    machine and kind of device that can read its images, any. Another kind may be far slower, and give other bits.

    ``shard`` is a row of ``precedence``.
    """
    if shard.paused_until is None or shard.worker is None:
        return True
    place = _place(shard.worker)
    if worker == shard.worker or worker.startswith(place):
        return True
    if not shard.is_paused and (kind := _device_kind(worker)) and kind == _device_kind(shard.worker):
        return True
    without = hosts_without_data(shard.payload)
    query = select(Worker.name, Worker.queues).where(alive(), Worker.name.startswith(place, autoescape=True))
    return not any(
        shard.queue in queues and host_of(name) not in without for name, queues in session.execute(query)
    )


def _place(worker: str) -> str:
    """Return how the names of workers on a machine and kind of device begin: ``node1-cuda``, ``node1-cpu``."""
    kind = _device_kind(worker)
    return f"{host_of(worker)}-{kind}" if kind else f"{host_of(worker)}:"


def _device_kind(worker: str) -> str | None:
    """Return ``cpu`` or ``cuda``; None for a worker without a supervisor."""
    match = NAME.fullmatch(worker)
    return match[2].rstrip("0123456789") if match else None
