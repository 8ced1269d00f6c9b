"""Short descriptions of jobs, for lists on pages that are about something else."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from producer.kept import Kept
from shared.jobs.tables import Job
from shared.kinds.registry import describe

# A specification has the numbers of all units, and takes longer to parse than the rest of a page to read. It never
# changes: a job of another database with the same number has another key.
_kept: Kept[tuple[int, str], str] = Kept(2**20, len)


def descriptions(session: Session, job_ids: Collection[int]) -> dict[int, str]:
    """Return the descriptions of jobs by number."""
    return from_specifications(session, job_ids, _kept, describe)


def from_specifications(
    session: Session,
    job_ids: Collection[int],
    kept: Kept[tuple[int, str], str],
    read: Callable[[str, Any], str],
) -> dict[int, str]:
    """Return what ``read`` makes of the kind and the specification of jobs, by number; ``kept`` keeps it."""
    keys = dict(session.execute(select(Job.id, Job.key).where(Job.id.in_(job_ids))).all())
    known = {number: text for number, key in keys.items() if (text := kept.find((number, key))) is not None}
    columns = select(Job.id, Job.key, Job.kind, Job.specification).where(Job.id.in_(keys.keys() - known.keys()))
    for number, key, kind, specification in session.execute(columns):
        known[number] = kept.get((number, key), lambda: read(kind, specification))  # noqa: B023 - called at once
    return known
