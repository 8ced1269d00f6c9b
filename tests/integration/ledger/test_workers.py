"""Workers that are alive, die or are stopped, and the shards that they held."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import text

from shared.jobs.ledger import LeaseLost, Ledger
from shared.jobs.tables import Event, JobState
from shared.jobs.transitions import MAX_ATTEMPTS
from tests.integration.ledger.helpers import (
    ACTIVE,
    FEW,
    Rivals,
    claimed,
    die,
    expire,
    job_of,
    messages,
    queued,
    shards_of,
    states,
    top9,
)

# --- sweep ---


def test_sweep_reclaims_only_expired_leases(ledger: Ledger, dataset: int) -> None:
    job, _ = ledger.submit(top9(dataset, search=3))
    ledger.take_unsent()
    dead, alive, _ = queued(ledger, job)
    die(ledger, dead)
    claimed(ledger, alive)
    assert ledger.sweep() == 1
    assert states(ledger, job)[:3] == ["queued", "running", "queued"]
    shard = shards_of(ledger, job)[0]
    assert (shard.attempt, shard.token, shard.lease_until) == (1, None, None)
    assert ledger.take_unsent() == [(dead, "analysis")]
    assert any("stopped responding in attempt 1 of 3" in message for message in messages(ledger, job))
    assert ledger.sweep() == 0


def test_a_lease_expires_by_itself(ledger: Ledger, job: int) -> None:
    """The lease has a negative length, so it expires immediately."""
    short = Ledger(ledger.database, lease_seconds=-1e-3)
    shard_id = queued(ledger, job)[0]
    for attempt in (1, 2, 3):
        assert claimed(short, shard_id).attempt == attempt
        assert short.sweep() == 1
    assert job_of(ledger, job).state == JobState.FAILED


def test_sweep_fails_the_job_of_a_shard_with_no_attempts_left(ledger: Ledger, job: int) -> None:
    shard_id = queued(ledger, job)[0]
    for _ in range(MAX_ATTEMPTS):
        assert job_of(ledger, job).state in ("queued", "running")
        die(ledger, shard_id)
        assert ledger.sweep() == 1
    assert states(ledger, job) == ["failed"] + ["cancelled"] * 5
    row = job_of(ledger, job)
    assert row.state == JobState.FAILED
    assert "stopped responding in attempt 3 of 3" in (row.error or "")
    assert "stopped responding" in (shards_of(ledger, job)[0].error or "")


def test_shards_that_a_sweep_ends_have_an_end_time(ledger: Ledger, dataset: int) -> None:
    failed, _ = ledger.submit(top9(dataset, search=2))
    for shard_id in queued(ledger, failed):
        die(ledger, shard_id, times=MAX_ATTEMPTS)
    cancelled, _ = ledger.submit(top9(dataset, search=2, seed=1))
    for shard_id in queued(ledger, cancelled):
        die(ledger, shard_id)
    ledger.cancel(cancelled)
    assert ledger.sweep() == 4
    assert sorted(states(ledger, failed)[:2]) == ["cancelled", "failed"]
    assert states(ledger, cancelled) == ["cancelled"] * 6
    assert all(shard.finished_at for job in (failed, cancelled) for shard in shards_of(ledger, job))


def test_sweep_leaves_no_active_shard_of_a_job_that_it_fails(ledger: Ledger, dataset: int) -> None:
    """Several leases have expired, one of them of a last attempt, in any order."""
    for last in range(3):
        job, _ = ledger.submit(top9(dataset, search=3, seed=last))
        for place, shard_id in enumerate(queued(ledger, job)):
            die(ledger, shard_id, times=MAX_ATTEMPTS if place == last else 1)
        ledger.sweep()
        assert job_of(ledger, job).state == JobState.FAILED
        assert not set(states(ledger, job)) & set(ACTIVE)
        assert ledger.take_unsent() == []
        assert messages(ledger, job).count("job failed") == 1


def test_two_concurrent_sweepers_reclaim_every_shard_once(ledger: Ledger, dataset: int, at_once: Rivals) -> None:
    for seed in range(FEW):
        job, _ = ledger.submit(top9(dataset, search=4, seed=seed))
        for shard_id in queued(ledger, job):
            die(ledger, shard_id)
        outcomes = at_once(*[lambda own: own.sweep()] * 2)
        assert sum(outcomes) == 4
        assert states(ledger, job)[:4] == ["queued"] * 4
        assert sum("stopped responding" in message for message in messages(ledger, job)) == 4


def test_two_concurrent_sweepers_fail_a_job_once(ledger: Ledger, dataset: int, at_once: Rivals) -> None:
    for seed in range(FEW):
        job, _ = ledger.submit(top9(dataset, seed=seed))
        die(ledger, queued(ledger, job)[0], times=MAX_ATTEMPTS)
        outcomes = at_once(*[lambda own: own.sweep()] * 2)
        assert sum(outcomes) == 1
        assert messages(ledger, job).count("job failed") == 1


def test_the_sweeper_waits_for_a_concurrent_write_that_extends_the_lease(
    ledger: Ledger, job: int, at_once: Rivals
) -> None:
    """The lease has expired when the sweeper first reads it, and is extended when the sweeper gets the row's lock.
    Meanwhile the sweeper holds the lock of the job's row, to which the written rows refer."""
    claim = claimed(ledger, queued(ledger, job)[0])
    expire(ledger, claim.shard_id)
    swept: list[int] = []
    thread = threading.Thread(target=lambda: swept.append(at_once.ledgers[0].sweep()))

    def meanwhile(session: Any) -> None:
        thread.start()
        thread.join(0.5)  # it waits for this transaction
        session.add(Event(job_id=job, level="info", message="an epoch"))

    ledger.record(claim, meanwhile)
    thread.join()
    assert swept == [0]
    assert states(ledger, job)[0] == "running"
    ledger.complete(claim)


def test_a_heartbeat_concurrent_with_the_sweeper(ledger: Ledger, dataset: int, at_once: Rivals) -> None:
    """Either the worker keeps its shard, or the heartbeat raises LeaseLost."""
    for seed in range(FEW):
        job, _ = ledger.submit(top9(dataset, seed=seed))
        claim = claimed(ledger, queued(ledger, job)[0])
        expire(ledger, claim.shard_id)
        beat, swept = at_once(lambda own: own.heartbeat(claim, 1), lambda own: own.sweep())  # noqa: B023
        state = states(ledger, job)[0]
        assert (beat, swept, state) in [(False, 0, "running"), (beat, 1, "queued")]
        assert beat is False or isinstance(beat, LeaseLost)
        if state == "running":
            ledger.complete(claim)


# --- workers ---


def test_a_worker_is_alive_while_it_is_seen(ledger: Ledger) -> None:
    ledger.worker_seen("gpu-0", "cuda:0", ["training", "analysis"], 42)
    ledger.worker_seen("cpu", "cpu", ["cpu"], 43)
    ledger.worker_seen("gpu-0", "cuda:1", ["analysis"], 44)
    assert [(w.name, w.device, w.queues, w.pid) for w in ledger.live_workers()] == [
        ("cpu", "cpu", ["cpu"], 43),
        ("gpu-0", "cuda:1", ["analysis"], 44),
    ]
    with ledger.database.write() as session:
        session.execute(text("UPDATE workers SET seen_at = seen_at - 3600 WHERE name = 'cpu'"))
    assert [worker.name for worker in ledger.live_workers()] == ["gpu-0"]
    ledger.worker_gone("gpu-0")
    ledger.worker_gone("never seen")
    assert ledger.live_workers() == []


def test_a_stopped_workers_shard_is_queued_again_without_counting_the_attempt(ledger: Ledger, job: int) -> None:
    first, second = queued(ledger, job)
    ledger.take_unsent()
    ledger.worker_seen("cpu", "cpu", ["cpu"], 43)
    die(ledger, first)
    stopped = claimed(ledger, first, "cpu")
    other = claimed(ledger, second, "other")
    ledger.worker_gone("cpu")
    assert states(ledger, job)[:2] == ["queued", "running"]
    assert shards_of(ledger, job)[0].attempt == 1
    assert ledger.take_unsent() == [(first, "analysis")]
    with pytest.raises(LeaseLost):
        ledger.complete(stopped)
    ledger.complete(other)
    ledger.worker_gone("cpu")
    assert claimed(ledger, first).attempt == 2


def test_a_stopped_workers_shards_of_all_jobs_are_queued_again(ledger: Ledger, dataset: int) -> None:
    jobs = [ledger.submit(top9(dataset, search=1, seed=seed))[0] for seed in range(3)]
    for job in jobs:
        claimed(ledger, queued(ledger, job)[0], "cpu")
    ledger.worker_gone("cpu")
    assert [states(ledger, job)[0] for job in jobs] == ["queued"] * 3


def test_a_cancelled_job_ends_when_its_worker_is_stopped(ledger: Ledger, job: int) -> None:
    for shard_id in queued(ledger, job):
        claimed(ledger, shard_id, "cpu")
    ledger.cancel(job)
    ledger.worker_gone("cpu")
    assert states(ledger, job) == ["cancelled"] * 6
    assert job_of(ledger, job).state == "cancelled"
