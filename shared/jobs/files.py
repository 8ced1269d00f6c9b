"""Rows of files in ``artifacts``, and the sum of their sizes in ``jobs.stored_bytes``, which change together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from shared.database.connection import dialect_insert
from shared.jobs.tables import Artifact, Job
from shared.jobs.transitions import find_and_lock_job


def register_files(session: Session, job_id: int, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows of ``artifacts`` for files that this job wrote, except those that exist, and count their bytes.

    The job's row is locked before files' rows, so that two transactions do not deadlock.
    """
    find_and_lock_job(session, job_id)
    insert = dialect_insert(session, Artifact).on_conflict_do_nothing().returning(Artifact.bytes)
    new = session.scalars(insert, rows).all() if rows else []
    add_stored_bytes(session, {job_id: sum(new)})


def add_stored_bytes(session: Session, bytes_of_jobs: Mapping[int, int]) -> None:
    """Add to ``stored_bytes`` of jobs, whose rows the caller has locked; negative numbers are removed bytes."""
    for job_id, count in sorted(bytes_of_jobs.items()):
        if count:
            change = update(Job).where(Job.id == job_id).values(stored_bytes=Job.stored_bytes + count)
            session.execute(change.execution_options(synchronize_session=False))
