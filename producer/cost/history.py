"""Earlier jobs of the same kind that tell how fast a job will be, and how large."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.errors import SpecificationNotReadable
from shared.jobs.hosts import NAME
from shared.jobs.ledger import RESUMED
from shared.jobs.tables import Job, JobState, Shard, ShardState
from shared.kinds.registry import parse
from shared.kinds.specification import Specification

RECENT_JOBS = 30
RECENT_SHARDS = 1000


@dataclass(frozen=True)
class MeasuredSpeed:
    """Work per second of a stage's shards in a job, on a device such as ``host-cuda0``."""

    device: str
    per_second: float
    job_id: int


def earlier_jobs(
    session: Session, specification: Specification, alike: Callable[[Any], Any]
) -> list[tuple[Job, Specification]]:
    """Return recent jobs for which ``alike`` returns the same as for this specification, newest first."""
    query = select(Job).where(Job.kind == specification.kind, Job.state != JobState.QUEUED)
    wanted, found = alike(specification), []
    for job in session.scalars(query.order_by(Job.id.desc()).limit(RECENT_JOBS)):
        try:
            parsed = parse(job.kind, job.specification)
        except SpecificationNotReadable:  # made by another version
            continue
        if alike(parsed) == wanted:
            found.append((job, parsed))
    return found


def device_of(worker: str) -> str:
    """Return the machine and device in a worker's name, ``host-cuda0``; without a supervisor the machine."""
    match = NAME.fullmatch(worker)
    return worker.rpartition("-")[0] if match else worker.rpartition(":")[0] or worker


def measured_speeds(
    session: Session, job_ids: Sequence[int], stages: Iterable[str]
) -> dict[str, list[MeasuredSpeed]]:
    """Return the speed of each of the stages on each device that ran it, from the shards of the newest job there.

    Stages that no device ran are missing.
    """
    found = {stage: _speeds(session, job_ids, stage) for stage in stages}
    return {stage: speeds for stage, speeds in found.items() if speeds}


def _speeds(session: Session, job_ids: Sequence[int], stage: str) -> list[MeasuredSpeed]:
    resumed = func.coalesce(Shard.payload[RESUMED].as_integer(), 0).label("resumed")
    columns = (Shard.worker, Shard.job_id, Shard.started_at, Shard.finished_at, Shard.work_done)
    done = (Shard.job_id.in_(job_ids), Shard.stage_name == stage, Shard.state == ShardState.DONE)
    query = select(*columns, resumed).where(*done).order_by(Shard.job_id.desc(), Shard.id.desc())
    sums: dict[str, tuple[int, float, float]] = {}
    for row in session.execute(query.limit(RECENT_SHARDS)):
        if row.worker is None or row.started_at is None or row.finished_at is None:
            continue
        device = device_of(row.worker)
        job_id, work, seconds = sums.get(device, (row.job_id, 0.0, 0.0))
        if job_id == row.job_id:
            took = (row.finished_at - row.started_at).total_seconds()
            sums[device] = job_id, work + max(row.work_done - row.resumed, 0), seconds + max(took, 0.0)
    return [
        MeasuredSpeed(device, work / seconds, job_id)
        for device, (job_id, work, seconds) in sums.items()
        if work > 0 and seconds > 0
    ]
