"""Leases: only the worker that holds a shard's lease can write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from producer.results.progress import job_progress
from shared.jobs.ledger import LeaseLost, Ledger
from shared.jobs.tables import Event, Shard
from tests.integration.ledger.helpers import (
    FEW,
    Rivals,
    claimed,
    dump,
    expire,
    job_of,
    messages,
    queued,
    shards_of,
    top9,
)

# --- heartbeat and record ---


def test_heartbeat_extends_the_lease_and_records_the_progress(ledger: Ledger, job: int) -> None:
    claim = claimed(ledger, queued(ledger, job)[0])
    expire(ledger, claim.shard_id)
    assert ledger.heartbeat(claim, 7) is False
    shard = shards_of(ledger, job)[0]
    assert shard.work_done == 7
    assert shard.lease_until is not None
    assert shard.lease_until > 1e9
    assert ledger.sweep() == 0


def test_work_of_a_lost_attempt_does_not_count_as_progress(ledger: Ledger, job: int) -> None:
    claim = claimed(ledger, queued(ledger, job)[0])
    ledger.heartbeat(claim, 7)
    assert job_progress(ledger.database, job).stages[0].done == 7
    expire(ledger, claim.shard_id)
    ledger.sweep()
    assert job_progress(ledger.database, job).stages[0].done == 0


def test_heartbeat_limits_the_progress_to_the_total_work(ledger: Ledger, job: int) -> None:
    claim = claimed(ledger, queued(ledger, job)[0])
    ledger.heartbeat(claim, 10**6)
    assert shards_of(ledger, job)[0].work_done == claim.work_total


def test_heartbeat_returns_a_cancel_request(ledger: Ledger, job: int) -> None:
    claim = claimed(ledger, queued(ledger, job)[0])
    assert ledger.heartbeat(claim, 0) is False
    assert ledger.cancel(job) == "running"
    assert ledger.heartbeat(claim, 0) is True


def test_record_writes_while_the_claim_holds_and_extends_the_lease(ledger: Ledger, job: int) -> None:
    claim = claimed(ledger, queued(ledger, job)[0])
    expire(ledger, claim.shard_id)
    ledger.record(claim, lambda session: session.add(Event(job_id=job, level="info", message="epoch 1")))
    assert "epoch 1" in messages(ledger, job)
    assert ledger.sweep() == 0


def test_a_failed_write_is_rolled_back_and_the_claim_stays_valid(ledger: Ledger, job: int) -> None:
    claim = claimed(ledger, queued(ledger, job)[0])
    before = dump(ledger)

    def write(session: Any) -> None:
        session.add(Event(job_id=job, level="info", message="half"))
        session.flush()
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError):
        ledger.record(claim, write)
    with pytest.raises(RuntimeError):
        ledger.complete(claim, write)
    assert dump(ledger) == before
    ledger.complete(claim)


# --- the fencing token ---


def taken_over(ledger: Ledger, shard_id: int) -> None:
    expire(ledger, shard_id)
    claimed(ledger, shard_id, "second")


def taken_back(ledger: Ledger, shard_id: int) -> None:
    expire(ledger, shard_id)
    assert ledger.sweep() == 1


def done_by_another(ledger: Ledger, shard_id: int) -> None:
    expire(ledger, shard_id)
    ledger.complete(claimed(ledger, shard_id, "second"))


def job_failed(ledger: Ledger, shard_id: int) -> None:
    with ledger.database.read() as session:
        other = session.scalars(select(Shard.id).where(Shard.state == "queued", Shard.id != shard_id)).first()
    assert other
    ledger.fail(claimed(ledger, other), "broken", again=False)


def job_retried(ledger: Ledger, shard_id: int) -> None:
    job_failed(ledger, shard_id)
    with ledger.database.read() as session:
        job = session.scalars(select(Shard.job_id).where(Shard.id == shard_id)).one()
    ledger.retry(job)
    claimed(ledger, shard_id, "second")


@pytest.mark.parametrize("lose", [taken_over, taken_back, done_by_another, job_failed, job_retried])
def test_a_lost_lease_refuses_every_write(ledger: Ledger, job: int, lose: Callable[[Ledger, int], None]) -> None:
    claim = claimed(ledger, queued(ledger, job)[0])
    lose(ledger, claim.shard_id)
    before = dump(ledger)
    late = Event(job_id=job, level="info", message="written by a worker that had lost its lease")
    written = []

    def write(session: Session) -> None:
        written.append(1)  # must not be called: it could write files, or raise another error
        session.add(late)

    attempts: list[Callable[[], Any]] = [
        lambda: ledger.heartbeat(claim, 5),
        lambda: ledger.record(claim, write),
        lambda: ledger.complete(claim, write, "ab/c.npz"),
        lambda: ledger.fail(claim, "mine", again=True),
        lambda: ledger.fail(claim, "mine", again=False),
        lambda: ledger.confirm_cancelled(claim),
    ]
    for attempt in attempts:
        with pytest.raises(LeaseLost):
            attempt()
        assert dump(ledger) == before
    assert written == []


def test_a_shard_can_be_completed_only_once(ledger: Ledger, job: int) -> None:
    claim = claimed(ledger, queued(ledger, job)[0])
    ledger.complete(claim)
    with pytest.raises(LeaseLost):
        ledger.complete(claim)
    assert job_of(ledger, job).shards_left == 5


def test_of_two_concurrent_completions_one_counts(ledger: Ledger, dataset: int, at_once: Rivals) -> None:
    for seed in range(FEW):
        job, _ = ledger.submit(top9(dataset, seed=seed))
        claim = claimed(ledger, queued(ledger, job)[0])
        outcomes = at_once(*[lambda own: own.complete(claim)] * 2)  # noqa: B023
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["LeaseLost", "NoneType"]
        assert job_of(ledger, job).shards_left == 5


def test_a_completion_after_the_lease_expired_concurrent_with_another_claim(
    ledger: Ledger, dataset: int, at_once: Rivals
) -> None:
    """Exactly one of the two succeeds."""
    for seed in range(FEW):
        job, _ = ledger.submit(top9(dataset, seed=seed))
        silent = claimed(ledger, queued(ledger, job)[0])
        expire(ledger, silent.shard_id)
        completed, taken = at_once(
            lambda own: own.complete(silent),  # noqa: B023
            lambda own: own.claim(silent.shard_id, "second"),  # noqa: B023
        )
        shard = shards_of(ledger, job)[0]
        if completed is None:
            assert taken is None
            assert (shard.state, job_of(ledger, job).shards_left) == ("done", 5)
        else:
            assert isinstance(completed, LeaseLost)
            assert (shard.state, shard.token) == ("running", taken.token)
