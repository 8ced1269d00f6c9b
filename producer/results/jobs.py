"""Lookup of jobs by id."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.database.connection import Database
from shared.database.datasets import Image
from shared.errors import JobNotOfKind
from shared.jobs.tables import ACTIVE_JOBS, Job, JobState, LeftOutImage, Shard, ShardState
from shared.jobs.transitions import missing_job


def find_job(session: Session, job_id: int) -> Job:
    """Return the job with this id.

    Raises
    ------
    NoSuchJob
    """
    job = session.get(Job, job_id)
    if job is None:
        raise missing_job(session, job_id)
    return job


def job_of_kind(session: Session, job_id: int, kind: str, result: str) -> Job:
    """Return the job with this id, after a check that it is of ``kind``, the kind of job that has ``result``.

    Raises
    ------
    NoSuchJob, JobNotOfKind
    """
    job = find_job(session, job_id)
    if job.kind != kind:
        raise JobNotOfKind(job_id=job_id, kind=job.kind, result=result)
    return job


def kind_of(database: Database, job_id: int) -> str:
    """Return the kind of a job.

    Raises
    ------
    NoSuchJob
    """
    with database.read() as session:
        return find_job(session, job_id).kind


@dataclass(frozen=True)
class Incomplete:
    """A job that is not done; its text says which results are missing."""

    text: str
    ended: bool  # failed or cancelled: nothing more will come

    def __str__(self) -> str:
        return self.text


def incomplete(session: Session, job: Job) -> Incomplete | None:
    """Return which results of a job are missing; None if the job is done."""
    if job.state == JobState.DONE:
        return None
    unfinished = (Shard.job_id == job.id, Shard.state != ShardState.DONE)
    query = select(Shard.stage_name).where(*unfinished).order_by(Shard.stage, Shard.number).limit(1)
    stage = session.scalar(query)
    missing = f": results of its stage {stage} and of later ones are missing" if stage else ""
    return Incomplete(f"Job {job.id} is incomplete ({job.state}){missing}.", job.state not in ACTIVE_JOBS)


def incomplete_job(database: Database, job_id: int) -> Incomplete | None:
    """Return which results of a job are missing; None if the job is done.

    Raises
    ------
    NoSuchJob
    """
    with database.read() as session:
        return incomplete(session, find_job(session, job_id))


@dataclass(frozen=True)
class LeftOutRow:
    """An image that a job left out."""

    image_id: int
    path: str
    object_number: int
    stage: str
    reason: str


def left_out_images(database: Database, job_id: int, limit: int) -> list[LeftOutRow]:
    """Return the first ``limit`` images that a job left out, because their content can't be decoded."""
    query = (
        select(Image.id, Image.path, Image.object_number, LeftOutImage.stage, LeftOutImage.reason)
        .join(LeftOutImage, LeftOutImage.image_id == Image.id)
        .where(LeftOutImage.job_id == job_id)
        .order_by(LeftOutImage.image_id)
        .limit(limit)
    )
    with database.read() as session:
        return [LeftOutRow(*row) for row in session.execute(query)]
