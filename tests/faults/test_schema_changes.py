"""A newer program upgrades the database while workers of this one have shards in hand."""

from __future__ import annotations

import signal
from collections.abc import Callable

from sqlalchemy import text

from shared.database.schema import NEWEST_REVISION
from shared.jobs.tables import JobState
from tests.faults.conftest import Catalogue
from tests.faults.harness import Case, signalled, submit_words

CATALOGUE = Catalogue()
NEWER, OLDER = "9999", "0001"


def test_nothing_is_lost_or_doubled(case: Callable[[], None]) -> None:
    case()


def execute(case: Case, *statements: str) -> None:
    with case.home.database.write() as session:
        for statement in statements:
            session.execute(text(statement))


def revision(number: str) -> str:
    return f"UPDATE alembic_version SET version_num = '{number}'"


def upgraded(case: Case) -> None:
    """Who has the database open ends what is in its hand; who opens it now refuses, and uses up no attempt."""
    injection = case.inject("computing", "hold", stage=case.stage("computing"))
    job = case.submit()
    held = injection.reached()
    try:
        execute(
            case,
            "CREATE TABLE of_tomorrow (id INTEGER PRIMARY KEY, job_id INTEGER REFERENCES jobs (id))",
            "ALTER TABLE shards ADD COLUMN of_tomorrow INTEGER NOT NULL DEFAULT 0",
            "ALTER TABLE jobs ADD COLUMN of_tomorrow INTEGER",
            revision(NEWER),
        )
        case.home(*submit_words(case.kind), code=5)
        case.home("worker", "--devices", "cpu", code=5)
        for child in case.home.children():
            if child.pid != held["pid"]:
                case.extra = (0, 1)  # it may have had a shard in hand
                signalled(child.pid, signal.SIGKILL)
        injection.release()
        case.wait_until(lambda: case.home.ended(job) or "newer than this version" in case.home.log())
        assert case.home.job(job).state in (JobState.RUNNING, JobState.QUEUED, JobState.DONE), case.events()
    finally:
        execute(
            case,
            "DROP TABLE of_tomorrow",
            "ALTER TABLE shards DROP COLUMN of_tomorrow",
            "ALTER TABLE jobs DROP COLUMN of_tomorrow",
            revision(NEWEST_REVISION),
        )


def too_old(case: Case) -> None:
    """No program of ours works on a schema that is older; the workers that run go on."""
    injection = case.inject("computing", "hold", stage=case.stage("computing"))
    case.submit()
    injection.reached()
    try:
        execute(case, revision(OLDER))
        case.home(*submit_words(case.kind), code=5)
        case.home("worker", "--devices", "cpu", code=5)
        injection.release()
    finally:
        execute(case, revision(NEWEST_REVISION))


CATALOGUE.add("schema upgraded by a newer program", upgraded)
CATALOGUE.add(
    "schema too old", too_old, databases=("postgresql",)
)  # a SQLite file is upgraded by whoever opens it
