"""Verification of a job: files by their hashes, a sample of the rows by computing them again."""

from __future__ import annotations

import json
import sys

from pydantic import BaseModel

from producer.networks.description import ask_worker
from producer.results.jobs import find_job
from shared.database.connection import Database
from shared.errors import ArtifactMissing
from shared.jobs.tables import JobState
from shared.settings import Settings, environment
from shared.store.references import referenced_artifacts
from shared.store.store import Store, sha256_of, sha256_of_file


class CheckedRows(BaseModel):
    """Comparison of rows with their recomputed values."""

    rows: int
    largest_difference: float  # as a share of the value, or of the layer's largest one
    wrong: list[str]  # a line for each row that differs by more than rounding


def files_of_job(database: Database, job_id: int) -> list[str]:
    """Return the paths of all files that a job refers to.

    Raises
    ------
    NoSuchJob
    """
    with database.read() as session:
        find_job(session, job_id)
        return sorted(set(referenced_artifacts(session, job_id)))


def file_problem(store: Store, path: str) -> str | None:
    """Describe what is wrong with a file: it is missing, unreadable, or its content doesn't match its name."""
    try:
        sha256 = sha256_of_file(store.locate(path))
    except ArtifactMissing:
        return f"{path} is missing"
    except OSError as error:
        return f"{path} can't be read: {error.strerror}"
    return None if sha256_of(path) == sha256 else f"{path} was changed: its SHA-256 is {sha256}"


def check_rows(database: Database, settings: Settings, job_id: int, sample: int, seed: int) -> CheckedRows | None:
    """Recompute a sample of a job's rows with the worker's code; return None if the job isn't done.

    Raises
    ------
    NoSuchJob
    """
    with database.read() as session:
        job = find_job(session, job_id)
    if job.state != JobState.DONE:
        return None
    stdin = json.dumps({"job_id": job_id, "sample": sample, "seed": seed})
    command = [sys.executable, "-m", "worker.programs.recompute"]
    return CheckedRows.model_validate(ask_worker(command, stdin=stdin, variables=environment(settings)))
