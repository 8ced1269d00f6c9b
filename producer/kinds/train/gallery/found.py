"""Lookup of training runs."""

from __future__ import annotations

from typing import cast

from sqlalchemy.orm import Session

from shared.database.networks import TrainingRun
from shared.errors import NoSuchRun, SpecificationNotReadable
from shared.jobs.tables import Job
from shared.kinds.registry import parse
from shared.kinds.train.specification import TrainSpecification


def find_run(session: Session, job_id: int) -> tuple[Job, TrainingRun]:
    """Return the job and the row of a training run.

    Raises
    ------
    NoSuchRun
    """
    job, run = session.get(Job, job_id), session.get(TrainingRun, job_id)
    if job is None or run is None:
        raise NoSuchRun(job_id=job_id, state="")
    return job, run


def specification_of(job: Job) -> TrainSpecification | None:
    """Return the specification of a run, or None if another version of unitscope made it."""
    try:
        return cast(TrainSpecification, parse(job.kind, job.specification))
    except SpecificationNotReadable:
        return None
