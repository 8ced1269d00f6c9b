"""Checks of images that jobs left out, and of machines that can't read images."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from producer.operations.checks import Check
from producer.results.jobs import find_job
from shared.database.connection import Database
from shared.jobs.hosts import CANNOT_READ, alive
from shared.jobs.left_out import (
    LEFT_OUT,
    LEFT_OUT_SHA256,
    count_left_out,
    left_out_summary,
    recorded_number,
    suspected_hosts,
)
from shared.jobs.tables import Job, JobState, LeftOutImage, Worker
from shared.kinds.registry import kinds

SHOWN = 5  # jobs that a check names
RECENT = 20  # jobs whose machines are compared


def left_out_problem(database: Database, job_id: int) -> str | None:
    """Describe how the images that a done job left out differ from those in its summary; None if they don't.

    Raises
    ------
    NoSuchJob
    """
    with database.read() as session:
        job = find_job(session, job_id)
        if job.state != JobState.DONE:
            return None
        found, number = left_out_summary(session, job_id), recorded_number(job)
    if found[LEFT_OUT] != number:
        return f"the summary counts {number} images that were left out, but left_out_images has {found[LEFT_OUT]}"
    recorded = job.summary.get(LEFT_OUT_SHA256) if isinstance(job.summary, dict) else None
    if recorded != found.get(LEFT_OUT_SHA256):
        return f"left_out_images was changed: its SHA-256 was {recorded}, and is {found.get(LEFT_OUT_SHA256)}"
    return None


def check_images(database: Database) -> Check:
    """Check that machines with workers can read the images, and that no job left out images because of a machine.

    Raises
    ------
    DatabaseUnreachable
    """
    with database.read() as session:
        unreadable = session.execute(
            select(Worker.name, Worker.problem)
            .where(alive(), Worker.problem.startswith(CANNOT_READ))
            .order_by(Worker.name)
        ).all()
        problems = [f"{name}: {problem}" for name, problem in unreadable]
        problems += [
            str(suspect) for job_id in _recent_jobs(session) for suspect in suspected_hosts(session, job_id)
        ]
        problems += _not_recorded(session)
    if not problems:
        return Check("images", True, "no machine has reported that it can't read images")
    return Check("images", False, " ".join(problems), "Mount or correct the folders." if unreadable else "")


def _recent_jobs(session: Session) -> list[int]:
    query = select(LeftOutImage.job_id).distinct().order_by(LeftOutImage.job_id.desc())
    return list(session.scalars(query.limit(RECENT)))


def _not_recorded(session: Session) -> list[str]:
    """Name the done jobs whose summary counts images that are not in ``left_out_images``, with the remedy. They
    may have been left out because a machine could not read them."""
    number = Job.summary[LEFT_OUT].as_string()  # a cast of an imported job's summary could fail
    query = select(Job).where(Job.state == JobState.DONE, number != "0").order_by(Job.id.desc())
    jobs = list(session.scalars(query))
    counts = count_left_out(session, [job.id for job in jobs])
    found = [job for job in jobs if recorded_number(job) > counts.get(job.id, 0)]
    texts = []
    for repeatable in (True, False):
        ids = [job.id for job in found if getattr(kinds().get(job.kind), "repeatable", False) == repeatable]
        if ids:
            listed = ", ".join(map(str, ids[:SHOWN])) + (
                f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
            )
            remedy = "`analyze retry JOB` computes" if repeatable else "`analyze submit ... --force` computes"
            texts.append(
                f"Images were left out of {'job' if len(ids) == 1 else 'jobs'} {listed} by an earlier version, "
                f"perhaps because a machine could not read them: {remedy} them again."
            )
    return texts
