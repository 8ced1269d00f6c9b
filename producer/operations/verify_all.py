"""Verification of jobs: of one, or of all done jobs, each file being read once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import select

from producer.operations.left_out import left_out_problem
from producer.operations.verify import CheckedRows, check_rows, file_problem, files_of_job
from shared.database.connection import Database
from shared.errors import Unreachable, message
from shared.jobs.tables import Job, JobState
from shared.settings import Settings
from shared.store.store import Store
from unitscope.errors import UnitscopeError


@dataclass(frozen=True)
class VerifiedJob:
    """The outcome of a job's verification. ``error``: why it could not be checked to its end, if it could not."""

    job_id: int
    files: int = 0
    rows: CheckedRows | None = None
    wrong: list[str] = field(default_factory=list)
    error: str | None = None

    @property
    def text(self) -> str:
        """The outcome in a line: the number of differences and the first of them, or the error."""
        if self.wrong:
            unchecked = f"; not checked to its end: {self.error}" if self.error else ""
            return f"Job {self.job_id}: {len(self.wrong)} differences, such as: {self.wrong[0]}{unchecked}"
        if self.error:
            return f"Job {self.job_id} could not be checked: {self.error}"
        return f"Job {self.job_id} is unchanged."


class Files:
    """The files of a store, each of which is read once, since jobs share files."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.problems: dict[str, str | None] = {}

    def wrong(self, paths: Sequence[str]) -> list[str]:
        """Describe what is wrong with these files."""
        for path in paths:
            if path not in self.problems:
                self.problems[path] = file_problem(self.store, path)
        return [problem for path in paths if (problem := self.problems[path])]


def done_jobs(database: Database) -> list[int]:
    """Return the ids of the jobs that are done, in ascending order."""
    with database.read() as session:
        return list(session.scalars(select(Job.id).where(Job.state == JobState.DONE).order_by(Job.id)))


def verify_jobs(
    database: Database,
    settings: Settings,
    files: Files,
    job_ids: Sequence[int],
    sample: int,
    seed: int,
) -> Iterator[VerifiedJob]:
    """Verify jobs one after the other. An error in one of them does not stop the others.

    Raises
    ------
    DatabaseUnreachable
    """
    for job_id in job_ids:
        paths: list[str] = []
        wrong: list[str] = []
        rows = error = None
        try:
            paths = files_of_job(database, job_id)
            wrong += files.wrong(paths)
            if problem := left_out_problem(database, job_id):
                wrong.append(problem)
            rows = check_rows(database, settings, job_id, sample, seed) if sample else None
            wrong += rows.wrong if rows else []
        except Unreachable:
            raise
        except UnitscopeError as raised:
            error = message(raised)
        yield VerifiedJob(job_id, len(paths), rows, wrong, error)
