"""A job's log: every transition of the job and its shards, in order, with its level."""

from __future__ import annotations

from sqlalchemy import select

from shared.jobs.ledger import Ledger
from shared.jobs.tables import Event
from shared.jobs.transitions import MAX_ATTEMPTS
from tests.integration.ledger.helpers import claimed, die, finish_stage, queued, top9


def lines(ledger: Ledger, job: int) -> list[tuple[int | None, str, str]]:
    """Return (index of the shard in the job, level, message) of every event."""
    with ledger.database.read() as session:
        events = session.execute(
            select(Event.shard_id, Event.level, Event.message).where(Event.job_id == job).order_by(Event.id)
        ).all()
    first = min((event.shard_id for event in events if event.shard_id), default=0)
    return [(event.shard_id and event.shard_id - first, event.level, event.message) for event in events]


def test_the_log_of_a_job_that_was_cancelled_retried_and_done(ledger: Ledger, dataset: int) -> None:
    job, _ = ledger.submit(top9(dataset, search=1))
    finish_stage(ledger, job)
    ledger.cancel(job)
    ledger.retry(job)
    select_id = queued(ledger, job)[0]
    ledger.fail(claimed(ledger, select_id, "w"), "broken", again=True)
    die(ledger, select_id)
    ledger.sweep()
    for _ in range(3):
        finish_stage(ledger, job)
    assert lines(ledger, job) == [
        (None, "info", "submitted: 4 shards"),
        (0, "info", "search: attempt 1 begins on w"),
        (0, "info", "search: done"),
        (None, "info", "cancel requested"),
        (None, "info", "job cancelled"),
        (None, "info", "retry requested"),
        (1, "info", "select: attempt 1 begins on w"),
        (1, "error", "broken"),
        (1, "info", "select: attempt 2 begins on dead"),
        (1, "warning", "select: worker dead stopped responding in attempt 2 of 3"),
        (1, "info", "select: attempt 3 begins on w"),
        (1, "info", "select: done"),
        (2, "info", "project: attempt 1 begins on w"),
        (2, "info", "project: done"),
        (3, "info", "finish: attempt 1 begins on w"),
        (3, "info", "finish: done"),
        (None, "info", "job done"),
    ]


def test_the_shard_that_failed_a_job_is_an_error_and_others_are_warnings(ledger: Ledger, dataset: int) -> None:
    """Two shards have no attempts left: the first one that the sweeper reaches fails the job."""
    job, _ = ledger.submit(top9(dataset))
    for shard_id in queued(ledger, job):
        die(ledger, shard_id, times=MAX_ATTEMPTS)
    ledger.sweep()
    lost = "search: worker dead stopped responding in attempt 3 of 3"
    events = [(level, message) for _, level, message in lines(ledger, job) if "begins" not in message]
    assert events[1:] == [("error", lost), ("error", "job failed"), ("warning", lost)]


def test_a_worker_that_dies_while_its_job_is_being_cancelled_is_no_error(ledger: Ledger, dataset: int) -> None:
    job, _ = ledger.submit(top9(dataset, search=1))
    die(ledger, queued(ledger, job)[0], times=MAX_ATTEMPTS)
    ledger.cancel(job)
    ledger.sweep()
    assert lines(ledger, job)[-2:] == [
        (0, "warning", "search: worker dead stopped responding in attempt 3 of 3"),
        (None, "info", "job cancelled"),
    ]


def test_a_stopped_worker_is_logged(ledger: Ledger, dataset: int) -> None:
    job, _ = ledger.submit(top9(dataset, search=1))
    claimed(ledger, queued(ledger, job)[0], "cpu")
    ledger.worker_gone("cpu")
    assert lines(ledger, job)[-1] == (0, "warning", "search: worker cpu was stopped")
