"""Finding a job by its number."""

from __future__ import annotations

from sqlalchemy.orm import Session

from shared.database.connection import Database
from shared.errors import JobNotOfKind
from shared.jobs.tables import Job
from shared.jobs.transitions import missing_job


def find_job(session: Session, job_id: int) -> Job:
    """Return the job of this number.

    Raises
    ------
    NoSuchJob
    """
    job = session.get(Job, job_id)
    if job is None:
        raise missing_job(session, job_id)
    return job


def job_of_kind(session: Session, job_id: int, kind: str, wanted: str) -> Job:
    """Return the job of this number, if it is of a kind that has what is ``wanted``.

    Raises
    ------
    NoSuchJob, JobNotOfKind
    """
    job = find_job(session, job_id)
    if job.kind != kind:
        raise JobNotOfKind(job_id=job_id, kind=job.kind, wanted=wanted)
    return job


def kind_of(database: Database, job_id: int) -> str:
    """Return the kind of a job.

    Raises
    ------
    NoSuchJob
    """
    with database.read() as session:
        return find_job(session, job_id).kind
