"""Speed of the stages of a job, computed from the times and the work of their shards."""

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

RECENT = 1000  # shards of each stage and state, at most
PAUSE = timedelta(seconds=60)  # a shorter gap between two shards counts as work: a worker fetches the next one
BEGUN = (ShardState.RUNNING, ShardState.DONE, ShardState.FAILED, ShardState.CANCELLED)

Span = tuple[datetime, datetime]  # begin, end


@dataclass(frozen=True)
class Speed:
    """Speed of a stage."""

    per_second: float | None  # work per second while a worker ran one of its shards
    running: bool  # whether a worker runs one now


def stage_speeds(session: Session, present: Iterable[tuple[int, int, str]]) -> dict[tuple[int, str], Speed]:
    """Return the speed of each stage that has begun, by the job's id and the stage's name.

    Time in which no shard ran doesn't count: before a retry, without a worker, after the end of the job. A shard
    whose lease has expired is not running.

    Parameters
    ----------
    present
        (job, stage, state) of the jobs' shards, each once.
    """
    parts = [_recent(job_id, stage, state) for job_id, stage, state in present if state in BEGUN]
    if not parts:
        return {}
    now, by_database = utc_now(), session.scalars(select(database_now())).one()
    of_stage: dict[tuple[int, str], list[Any]] = {}
    for row in session.execute(union_all(*parts)):
        of_stage.setdefault((row.job_id, row.stage_name), []).append(row)
    return {key: _speed(rows, now, by_database) for key, rows in of_stage.items()}


def _recent(job_id: int, stage: int, state: str) -> Select[Any]:
    """Build the query of a stage's last ``RECENT`` shards in this state; a job can have 100,000 shards."""
    times = (Shard.started_at, Shard.finished_at, Shard.lease_until)
    resumed = func.coalesce(Shard.payload[RESUMED].as_integer(), 0).label("resumed")
    query = select(Shard.job_id, Shard.stage_name, Shard.state, Shard.work_done, resumed, *times)
    of_stage = query.where(Shard.job_id == job_id, Shard.state == state, Shard.stage == stage)
    return select(of_stage.order_by(Shard.id.desc()).limit(RECENT).subquery())


def _speed(shards: Sequence[Any], now: datetime, by_database: float) -> Speed:
    rows = [row for row in shards if row.started_at]  # others were cancelled before they began
    running = [row for row in rows if row.state == ShardState.RUNNING]
    held = [row for row in running if row.lease_until >= by_database]
    # Failed and cancelled shards count only without others: they may not have run until their end.
    counted = [row for row in rows if row.state == ShardState.DONE] + running or list(rows)
    seconds = _covered((row.started_at, _end(row, now)) for row in counted)
    work = sum(max(row.work_done - row.resumed, 0) for row in counted)
    return Speed(work / seconds if work and seconds > 0 else None, bool(held))


def _end(row: Any, now: datetime) -> datetime:
    """Return when a shard ended, or the end of its lease if that is in the past."""
    if row.state == ShardState.RUNNING:
        return min(now, datetime.fromtimestamp(row.lease_until, UTC))
    ended: datetime = row.finished_at or row.started_at
    return ended


def _covered(spans: Iterable[Span]) -> float:
    """Return the seconds that at least one span covers; gaps shorter than ``PAUSE`` are covered, too."""
    blocks: list[Span] = []
    for began, ended in sorted(spans):
        if blocks and began <= blocks[-1][1] + PAUSE:
            blocks[-1] = blocks[-1][0], max(blocks[-1][1], ended)
        else:
            blocks.append((began, max(began, ended)))
    return sum((ended - began).total_seconds() for began, ended in blocks)
