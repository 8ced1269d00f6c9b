"""How fast the stages of a job are worked on: from when their shards ran, and what these did."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, select, union_all
from sqlalchemy.orm import Session

from shared.database.base import utc_now
from shared.database.connection import database_now
from shared.jobs.ledger import RESUMED
from shared.jobs.tables import Shard, ShardState

RECENT = 1000  # shards of a stage and state that are looked at
PAUSE = timedelta(seconds=60)  # a shorter gap between two shards is part of the work: the next one is fetched
BEGUN = (ShardState.RUNNING, ShardState.DONE, ShardState.FAILED, ShardState.CANCELLED)

Span = tuple[datetime, datetime]  # from the beginning to the end


@dataclass(frozen=True)
class Speed:
    """Work a second of a stage while a worker had one of its shards, and whether one has now."""

    per_second: float | None
    running: bool


def stage_speeds(session: Session, job_id: int, present: Iterable[tuple[int, str]]) -> dict[str, Speed]:
    """The speed of each stage that has begun.

    A time in which nothing ran doesn't count: before a retry, while no worker was there, after the job ended. A
    shard whose lease has run out is not running: its worker is gone.

    Parameters
    ----------
    present
        (stage, state) of the job's shards, each pair once.
    """
    parts = [_recent(job_id, stage, state) for stage, state in present if state in BEGUN]
    if not parts:
        return {}
    now, by_database = utc_now(), session.scalars(select(database_now())).one()
    of_stage: dict[str, list[Any]] = {}
    for row in session.execute(union_all(*parts)):
        of_stage.setdefault(row.stage_name, []).append(row)
    return {name: _speed(rows, now, by_database) for name, rows in of_stage.items()}


def _recent(job_id: int, stage: int, state: str) -> Select[Any]:
    """The last shards of a stage that are in this state, in the order in which they were sent: by the index, since
    a job can have 100,000."""
    times = (Shard.started_at, Shard.finished_at, Shard.lease_until)
    resumed = func.coalesce(Shard.payload[RESUMED].as_integer(), 0).label("resumed")
    query = select(Shard.stage_name, Shard.state, Shard.work_done, resumed, *times)
    of_stage = query.where(Shard.job_id == job_id, Shard.state == state, Shard.stage == stage)
    return select(of_stage.order_by(Shard.id.desc()).limit(RECENT).subquery())


def _speed(shards: Sequence[Any], now: datetime, by_database: float) -> Speed:
    rows = [row for row in shards if row.started_at]  # others were cancelled before
    running = [row for row in rows if row.state == ShardState.RUNNING]
    held = [row for row in running if row.lease_until >= by_database]
    # Of a shard that was stopped it is not known whether it ran until then: it counts where nothing else does.
    counted = [row for row in rows if row.state == ShardState.DONE] + running or list(rows)
    seconds = _covered((row.started_at, _end(row, now)) for row in counted)
    work = sum(max(row.work_done - row.resumed, 0) for row in counted)
    return Speed(work / seconds if work and seconds > 0 else None, bool(held))


def _end(row: Any, now: datetime) -> datetime:
    """When a shard's worker was last heard of."""
    if row.state == ShardState.RUNNING:
        return min(now, datetime.fromtimestamp(row.lease_until, UTC))
    ended: datetime = row.finished_at or row.started_at
    return ended


def _covered(spans: Iterable[Span]) -> float:
    """Seconds that lie in at least one of the spans, or in a short gap between them."""
    blocks: list[Span] = []
    for began, ended in sorted(spans):
        if blocks and began <= blocks[-1][1] + PAUSE:
            blocks[-1] = blocks[-1][0], max(blocks[-1][1], ended)
        else:
            blocks.append((began, max(began, ended)))
    return sum((ended - began).total_seconds() for began, ended in blocks)
