"""Progress of jobs, computed from the rows of their shards."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, String, and_, case, func, or_, select
from sqlalchemy.orm import Session

from producer.results.jobs import find_job
from producer.results.speed import Speed, stage_speeds
from producer.results.waiting import Waiting, waiting_for
from shared.database.connection import Database
from shared.database.datasets import Dataset
from shared.jobs.hosts import hosts_waiting
from shared.jobs.left_out import count_left_out, recorded_number, suspected_hosts
from shared.jobs.priority import priority_label
from shared.jobs.retrying import RETRY_REQUESTED
from shared.jobs.tables import ACTIVE_JOBS, Event, Job, JobState, Shard, ShardState
from shared.kinds.registry import describe


@dataclass(frozen=True)
class StageProgress:
    """Progress of a stage: its work, in images or units, and its numbers of shards by state.

    ``per_second`` is the speed while its shards ran. ``seconds_left`` is None unless one is running now.
    """

    name: str
    done: int
    total: int
    shards: dict[str, int]
    per_second: float | None
    seconds_left: float | None


@dataclass(frozen=True)
class FirstError:
    """The first error event of a failed job; ``Job.error`` is the last one, and may differ."""

    at: datetime
    shard: int | None
    message: str


@dataclass(frozen=True)
class JobProgress:
    """Progress of a job and its stages, and the first error of a failed job."""

    job: Job
    dataset: str
    stages: list[StageProgress]
    first_error: FirstError | None
    left_out: int  # images, because their content can't be decoded
    suspected: list[str]  # machines whose files probably differ from those of the others, each with the reason
    hosts_without_images: list[str]  # machines that can't read the images of queued shards
    waiting: Waiting | None  # why none of its queued shards runs

    @property
    def share(self) -> float:
        """Share of the job's shards that are done, 0 to 1; a running shard counts by its share of work done."""
        return share_of(self.stages, self.job.shards_total)

    @property
    def current(self) -> StageProgress | None:
        """First unfinished stage, or None."""
        return next((stage for stage in self.stages if stage.done < stage.total), None)

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``analyze status --json`` prints."""
        job = self.job
        return {
            "id": job.id,
            "kind": job.kind,
            "state": job.state,
            "dataset": self.dataset,
            "priority": priority_label(job.priority),
            "waiting": vars(self.waiting) if self.waiting else None,
            "share": round(self.share, 4),
            "shards_total": job.shards_total,
            "shards_left": job.shards_left,
            "cancel_requested": job.cancel_requested,
            "error": job.error,
            "first_error": vars(self.first_error) if self.first_error else None,
            "summary": job.summary,
            "images_left_out": self.left_out,
            "warnings": self.suspected,
            "hosts_without_images": self.hosts_without_images,
            "bytes": job.stored_bytes,
            "created_at": _iso(job.created_at),
            "started_at": _iso(job.started_at),
            "finished_at": _iso(job.finished_at),
            "stages": [vars(stage) for stage in self.stages],
            "key": job.key,
            "specification": job.specification,
        }


def share_of(stages: Sequence[StageProgress], shards: int) -> float:
    """Return the share of a job's shards that are done, 0 to 1; a running one counts by its share of work done."""
    parts = sum(s.done / s.total * sum(s.shards.values()) if s.total else 0 for s in stages)
    return parts / max(shards, 1)


def job_progress(database: Database, job_id: int) -> JobProgress:
    """Return the progress of a job.

    Raises
    ------
    NoSuchJob
    """
    with database.read() as session:
        job = find_job(session, job_id)
        dataset = session.get_one(Dataset, job.dataset_id).name
        left_out = count_left_out(session, [job_id]).get(job_id, 0)
        return JobProgress(
            job,
            dataset,
            stages_of(session, [job_id]).get(job_id, []),
            _first_error(session, job),
            max(left_out, recorded_number(job)),
            [str(suspect) for suspect in suspected_hosts(session, job_id)] if left_out else [],
            _hosts_without_images(session, [job]).get(job_id, []),
            waiting_for(session, job),
        )


def _hosts_without_images(session: Session, jobs: Sequence[Job]) -> dict[int, list[str]]:
    active = [job.id for job in jobs if job.state in ACTIVE_JOBS]
    return {job_id: sorted(hosts) for job_id, hosts in hosts_waiting(session, active).items()}


def _first_error(session: Session, job: Job) -> FirstError | None:
    """Return the first error of a failed job since it was submitted or last retried."""
    if job.state != JobState.FAILED:
        return None
    of_job = Event.job_id == job.id
    retried = select(func.max(Event.id)).where(of_job, Event.message == RETRY_REQUESTED).scalar_subquery()
    row = session.execute(
        select(Event.at, Shard.number, Event.message)
        .outerjoin(Shard, Shard.id == Event.shard_id)
        .where(of_job, Event.level == "error", Event.id > func.coalesce(retried, 0))
        .order_by(Event.id)
        .limit(1)
    ).one_or_none()
    return FirstError(*row) if row else None


def stages_of(session: Session, job_ids: Collection[int]) -> dict[int, list[StageProgress]]:
    """Return the progress of the stages of jobs, with a number of statements that doesn't depend on theirs."""
    rows = session.execute(
        select(
            Shard.job_id,
            Shard.stage,
            Shard.stage_name,
            Shard.state,
            func.count().label("shards"),
            # The work of attempts that failed is not counted, that before a pause is.
            func.sum(
                case(
                    (and_(Shard.state == ShardState.QUEUED, Shard.paused_until.is_(None)), 0),
                    else_=Shard.work_done,
                )
            ).label("done"),
            func.sum(Shard.work_total).label("total"),
        )
        .where(Shard.job_id.in_(job_ids))
        .group_by(Shard.job_id, Shard.stage, Shard.stage_name, Shard.state)
        .order_by(Shard.job_id, Shard.stage)
    ).all()
    speeds = stage_speeds(session, [(row.job_id, row.stage, row.state) for row in rows])
    grouped: dict[tuple[int, str], list[Any]] = {}
    for row in rows:
        grouped.setdefault((row.job_id, row.stage_name), []).append(row)
    stages: dict[int, list[StageProgress]] = {}
    for (job_id, name), of_stage in grouped.items():
        speed = speeds.get((job_id, name), Speed(None, running=False))
        stages.setdefault(job_id, []).append(_stage(name, of_stage, speed))
    return stages


def _stage(name: str, rows: Sequence[Any], speed: Speed) -> StageProgress:
    done = int(sum(row.done for row in rows))
    total = int(sum(row.total for row in rows))
    shards = {row.state: row.shards for row in rows}
    rate = speed.per_second
    left = (total - done) / rate if rate and speed.running else None
    return StageProgress(name, done, total, shards, rate, left)


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None


def list_jobs(
    database: Database,
    kind: str | None,
    state: str | None,
    limit: int,
    *,
    dataset: str | None = None,
    text: str = "",
    before: int | None = None,
) -> list[dict[str, Any]]:
    """List jobs, newest first.

    Parameters
    ----------
    dataset
        Name of a data set.
    text
        Words that all occur in the job's request or error, in any case.
    before
        Only jobs with smaller ids.
    """
    query = select(Job, Dataset.name).join(Dataset, Dataset.id == Job.dataset_id)
    if kind:
        query = query.where(Job.kind == kind)
    if state:
        query = query.where(Job.state == state)
    if dataset:
        query = query.where(Dataset.name == dataset)
    if before is not None:
        query = query.where(Job.id < before)
    query = query.where(*(_has_word(word) for word in text.split()))
    with database.read() as session:
        rows = session.execute(query.order_by(Job.id.desc()).limit(limit)).all()
        left_out = count_left_out(session, [job.id for job, _ in rows])
        without = _hosts_without_images(session, [job for job, _ in rows])
    return [
        {
            "id": job.id,
            "kind": job.kind,
            "what": describe(job.kind, job.specification),
            "dataset": dataset,
            "state": job.state,
            "priority": priority_label(job.priority),
            "shards_total": job.shards_total,
            "shards_left": job.shards_left,
            "bytes": job.stored_bytes,
            "created_at": job.created_at,
            "finished_at": job.finished_at,
            "error": job.error,
            "images_left_out": max(left_out.get(job.id, 0), recorded_number(job)),
            "hosts_without_images": without.get(job.id, []),
        }
        for job, dataset in rows
    ]


def _has_word(word: str) -> ColumnElement[bool]:
    """Return the condition that a job's request or error has a word."""
    request = Job.specification.cast(String)
    escaped = json.dumps(word)[1:-1]  # as it is stored in a JSON column
    return or_(
        *(column.icontains(part, autoescape=True) for column, part in ((request, escaped), (Job.error, word)))
    )


def job_events(database: Database, job_id: int, after: int = 0, limit: int = 10_000) -> list[dict[str, Any]]:
    """List the first ``limit`` events of a job that follow the event with id ``after``, in order."""
    with database.read() as session:
        rows = session.execute(
            select(Event, Shard.number)
            .outerjoin(Shard, Shard.id == Event.shard_id)
            .where(Event.job_id == job_id, Event.id > after)
            .order_by(Event.id)
            .limit(limit)
        ).all()
    return _events(rows)


def last_events(
    database: Database, job_id: int, before: int | None = None, limit: int = 200
) -> list[dict[str, Any]]:
    """List the last ``limit`` events of a job, or those before the event with id ``before``, in order."""
    query = select(Event, Shard.number).outerjoin(Shard, Shard.id == Event.shard_id).where(Event.job_id == job_id)
    if before is not None:
        query = query.where(Event.id < before)
    with database.read() as session:
        rows = session.execute(query.order_by(Event.id.desc()).limit(limit)).all()
    return _events(rows[::-1])


def _events(rows: Sequence[Any]) -> list[dict[str, Any]]:
    return [
        {
            "id": event.id,
            "at": event.at,
            "level": event.level,
            "shard": number,
            "message": event.message,
        }
        for event, number in rows
    ]
