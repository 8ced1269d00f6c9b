"""Studies in the database: their files, parameters, and submitted jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from producer.studies.expansion import PlannedJob
from producer.studies.file import OptionValue
from producer.studies.parameters import as_text
from shared.database.base import utc_now
from shared.database.connection import Database
from shared.errors import NoSuchStudy, StudyChanged
from shared.jobs.tables import Job, JobState, Study, StudyJob


def store_study(
    database: Database,
    name: str,
    title: str,
    source: str,
    parameters: Mapping[str, OptionValue],
    names: set[str],
    *,
    replace: bool,
) -> int:
    """Store a study, or the new file of a study that exists; return its id.

    Jobs whose names are not among ``names`` no longer belong to the study.

    Raises
    ------
    StudyChanged
        A study of this name has other parameters, and ``replace`` is false.
    """
    with database.write() as session:
        study = session.scalars(select(Study).where(Study.name == name).with_for_update()).one_or_none()
        if study is None:
            study = Study(name=name, title=title, source=source, parameters=dict(parameters))
            session.add(study)
        else:
            changes = _differences(study.parameters, parameters)
            if changes and not replace:
                raise StudyChanged(name=name, differences=changes)
            study.title, study.source, study.parameters = title, source, dict(parameters)
            study.updated_at = utc_now()
        session.flush()
        stored = session.scalars(select(StudyJob.name).where(StudyJob.study_id == study.id)).all()
        for gone in set(stored) - names:
            session.execute(delete(StudyJob).where(StudyJob.study_id == study.id, StudyJob.name == gone))
        return study.id


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Return the parameters that both have with other values: ``epochs=50 instead of 5``."""
    return ", ".join(
        f"{name}={as_text(before[name])} instead of {as_text(after[name])}"
        for name in before
        if name in after and before[name] != after[name]
    )


def store_job(database: Database, study_id: int, planned: PlannedJob, job_id: int) -> None:
    """Record the job that was submitted for a planned one."""
    with database.write() as session:
        # Locked, so that two commands that run the same study write one after the other.
        session.execute(select(Study.id).where(Study.id == study_id).with_for_update())
        session.merge(
            StudyJob(
                study_id=study_id,
                name=planned.name,
                number=planned.number,
                entry=planned.entry,
                labels=planned.labels,
                job_id=job_id,
            )
        )


def find_study(session: Session, name: str) -> Study:
    """Return a study that was run.

    Raises
    ------
    NoSuchStudy
    """
    study = session.scalars(select(Study).where(Study.name == name)).one_or_none()
    if study is None:
        names = session.scalars(select(Study.name).order_by(Study.name)).all()
        raise NoSuchStudy(name=name, choices=f"Studies that were run: {', '.join(names) or 'none'}.")
    return study


def jobs_of(session: Session, study: Study) -> dict[str, Job]:
    """Return the submitted jobs of a study by their names in it."""
    rows = session.execute(
        select(StudyJob.name, Job)
        .join(Job, Job.id == StudyJob.job_id)
        .where(StudyJob.study_id == study.id)
        .order_by(StudyJob.number)
    )
    return dict(rows.all())


@dataclass(frozen=True)
class ListedStudy:
    """A study with the numbers of its submitted jobs, and of those that are done."""

    name: str
    title: str
    parameters: dict[str, Any]
    jobs: int
    done: int
    updated_at: Any


def list_studies(database: Database) -> list[ListedStudy]:
    """List the studies that were run, the newest first."""
    jobs = (
        select(
            StudyJob.study_id,
            func.count().label("jobs"),
            func.count().filter(Job.state == JobState.DONE).label("done"),
        )
        .join(Job, Job.id == StudyJob.job_id)
        .group_by(StudyJob.study_id)
        .subquery()
    )
    query = select(Study, func.coalesce(jobs.c.jobs, 0), func.coalesce(jobs.c.done, 0))
    query = query.outerjoin(jobs, jobs.c.study_id == Study.id).order_by(Study.updated_at.desc(), Study.id.desc())
    with database.read() as session:
        return [
            ListedStudy(study.name, study.title, study.parameters, count, done, study.updated_at)
            for study, count, done in session.execute(query)
        ]


def only_of_study(session: Session, study: Study) -> list[int]:
    """Return the ids of the jobs of a study that belong to no other study."""
    others = select(StudyJob.job_id).where(StudyJob.study_id != study.id)
    query = select(StudyJob.job_id).where(StudyJob.study_id == study.id, StudyJob.job_id.not_in(others))
    return sorted(set(session.scalars(query)))


def forget_study(database: Database, name: str) -> None:
    """Remove a study; its jobs stay.

    Raises
    ------
    NoSuchStudy
    """
    with database.write() as session:
        study = find_study(session, name)
        session.execute(delete(StudyJob).where(StudyJob.study_id == study.id))
        session.delete(study)
