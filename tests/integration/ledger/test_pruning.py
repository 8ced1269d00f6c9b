"""Pruning: which old jobs and events go, which stay, and why."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from producer.cli.jobs.pruning import FINISHED
from producer.operations import pruning
from producer.operations.pruning import Prunable, find_prunable, prune
from shared.database.base import utc_now
from shared.database.connection import Database
from shared.errors import JobStillActive
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Event, Job
from shared.jobs.transitions import add_event
from tests.integration.ledger.helpers import top9

LONG_AGO = utc_now() - timedelta(days=100)
BEFORE = utc_now() - timedelta(days=90)


@pytest.fixture
def old(old: Database) -> Database:
    """The stored jobs, as if it all had been long ago."""
    age(old)
    return old


def age(database: Database, *job_ids: int) -> None:
    """Move jobs and their events into the past; without ids all of them."""
    with database.write() as session:
        chosen = job_ids or session.scalars(select(Job.id)).all()
        ended = Job.id.in_(chosen), Job.finished_at.is_not(None)
        session.execute(update(Job).where(Job.id.in_(chosen)).values(created_at=LONG_AGO))
        session.execute(update(Job).where(*ended).values(finished_at=LONG_AGO))
        session.execute(update(Event).where(Event.job_id.in_(chosen)).values(at=LONG_AGO))


def found(database: Database, states: Iterable[str] = FINISHED, newest: int = 0) -> Prunable:
    return find_prunable(database, BEFORE, list(states), newest)


def ids(prunable: Prunable) -> list[int]:
    return [job.job_id for job in prunable.jobs]


def jobs(database: Database) -> dict[int, str]:
    with database.read() as session:
        return dict(session.execute(select(Job.id, Job.state).order_by(Job.id)).all())


def events(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(Event)) or 0


def test_old_jobs_go_and_those_that_others_use_stay_and_are_named(old: Database) -> None:
    finished = {job_id for job_id, state in jobs(old).items() if state in FINISHED}
    before = jobs(old)
    prunable = found(old)
    assert set(prunable.in_use) == {1, 4}  # 7, which runs, uses 4, and 4 uses 1
    assert prunable.in_use[4] == [7]
    assert 4 in prunable.in_use[1]
    assert ids(prunable) == sorted(finished - {1, 4}, reverse=True)
    assert len(ids(prunable)) >= 4
    assert jobs(old) == before  # nothing was removed yet
    seen: list[int] = []
    prune(old, BEFORE, prunable, lambda: seen.append(1))
    assert len(seen) == len(prunable.jobs)
    assert set(jobs(old)) == set(before) - set(ids(prunable))
    again = found(old)
    assert (again.jobs, again.events) == ([], 0)


def test_states_and_the_newest_are_chosen(old: Database) -> None:
    states = jobs(old)
    for state in FINISHED:
        assert {states[job_id] for job_id in ids(found(old, [state]))} <= {state}
    finished = sorted(job_id for job_id, state in states.items() if state in FINISHED)
    spared = found(old, newest=3)
    assert not set(ids(spared)) & set(finished[-3:])
    assert ids(found(old, newest=len(finished))) == []
    assert {job.job_id for part in (["done"], ["failed"], ["cancelled"]) for job in found(old, part).jobs} == set(
        ids(found(old))
    )


def test_events_alone_are_removed_from_finished_jobs_only(old: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "EVENTS_AT_ONCE", 3)
    with old.write() as session:
        add_event(session, 7, None, "info", "of a job that runs")
        session.flush()
        session.execute(update(Event).values(at=LONG_AGO))
        add_event(session, 1, None, "info", "of today")
    before, total = jobs(old), events(old)
    with old.read() as session:
        active = select(Job.id).where(Job.state.in_(["queued", "running"]))
        kept = session.scalar(select(func.count()).where(Event.job_id.in_(active))) or 0
    prunable = found(old, [])
    assert (ids(prunable), prunable.events) == ([], total - kept - 1)
    prune(old, BEFORE, prunable, lambda: None)
    assert events(old) == kept + 1
    assert jobs(old) == before


def test_a_job_is_as_old_as_the_last_thing_that_happened_to_it(ledger: Ledger, dataset: int) -> None:
    """An import is new, whenever the job was computed elsewhere; a job that ended today is, too."""
    database = ledger.database
    recent, imported, gone = (ledger.submit(top9(dataset, seed=seed))[0] for seed in range(3))
    for job in (recent, imported, gone):
        ledger.cancel(job)
    age(database, imported, gone)
    with database.write() as session:
        add_event(session, imported, None, "info", "imported: job 3 of the exporting database")
    assert ids(found(database)) == [gone]
    assert found(database).events > 0
    prune(database, BEFORE, found(database), lambda: None)
    assert set(jobs(database)) == {recent, imported}


def test_a_job_that_is_used_since_it_was_listed_is_not_removed(ledger: Ledger, dataset: int) -> None:
    """Another command retries it between the list and the removal."""
    job = ledger.submit(top9(dataset))[0]
    ledger.cancel(job)
    age(ledger.database, job)
    prunable = found(ledger.database)
    ledger.retry(job)
    with pytest.raises(JobStillActive, match=f"Job {job} is queued"):
        prune(ledger.database, BEFORE, prunable, lambda: None)
    assert set(jobs(ledger.database)) == {job}
