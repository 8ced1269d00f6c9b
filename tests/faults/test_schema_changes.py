"""Upgrades of the database by a newer program while workers run shards."""

from __future__ import annotations

import signal
from collections.abc import Callable

from sqlalchemy import text

from shared.database.schema import NEWEST_REVISION
from shared.jobs.tables import JobState
from tests.faults.conftest import Catalogue
from tests.faults.harness import Case, send_signal, submit_command

CATALOGUE = Catalogue()
NEWER, OLDER = "9999", "0001"


def test_no_rows_are_lost_or_duplicated(case: Callable[[], None]) -> None:
    case()


def execute(case: Case, *statements: str) -> None:
    with case.home.database.write() as session:
        for statement in statements:
            session.execute(text(statement))


def revision(number: str) -> str:
    return f"UPDATE alembic_version SET version_num = '{number}'"


def upgraded(case: Case) -> None:
    """Workers with an open connection finish their shards; new ones refuse to start and use up no attempt."""
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
        case.home(*submit_command(case.kind), code=5)
        case.home("worker", "--devices", "cpu", code=5)
        for child in case.home.children():
            if child.pid != held["pid"]:
                case.extra = (0, 1)  # the killed child may have been running a shard
                send_signal(child.pid, signal.SIGKILL)
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
    """Programs refuse to run on an older schema; running workers continue."""
    injection = case.inject("computing", "hold", stage=case.stage("computing"))
    case.submit()
    injection.reached()
    try:
        execute(case, revision(OLDER))
        case.home(*submit_command(case.kind), code=5)
        case.home("worker", "--devices", "cpu", code=5)
        injection.release()
    finally:
        execute(case, revision(NEWEST_REVISION))


CATALOGUE.add("schema upgraded by a newer program", upgraded)
CATALOGUE.add(
    "schema too old", too_old, databases=("postgresql",)
)  # a SQLite database is upgraded when it is opened
