"""Claims: only a queued shard, or one whose lease has expired, can be claimed, and by one worker only."""

from __future__ import annotations

import pytest
from sqlalchemy import text, update

from shared.jobs.ledger import Claim, LeaseLost, Ledger
from shared.jobs.tables import JobState, Shard, ShardState
from shared.jobs.transitions import MAX_ATTEMPTS
from shared.kinds.specification import Specification
from tests.integration.ledger.helpers import (
    FEW,
    Rivals,
    claimed,
    die,
    dump,
    expire,
    finish_stage,
    job_of,
    queued,
    shards_of,
    states,
    top9,
)


def test_claim_raises_the_attempt_and_gives_a_token_and_a_lease(
    ledger: Ledger, job: int, specification: Specification
) -> None:
    shard_id = queued(ledger, job)[0]
    claim = claimed(ledger, shard_id, "worker-1")
    shard = shards_of(ledger, job)[0]
    assert (shard.state, shard.attempt, shard.worker, shard.token) == ("running", 1, "worker-1", claim.token)
    assert shard.started_at is not None
    assert (claim.shard_id, claim.job_id, claim.kind, claim.stage_name) == (shard_id, job, "top9", "search")
    assert claim.payload == {"start": 0, "stop": 32}
    assert (claim.attempt, claim.work_total) == (1, 32)
    assert claim.specification == specification.model_dump(mode="json")
    assert job_of(ledger, job).state == JobState.RUNNING
    assert job_of(ledger, job).started_at is not None


def test_the_lease_has_the_configured_length_by_the_databases_clock(ledger: Ledger, job: int) -> None:
    long = Ledger(ledger.database, lease_seconds=1000.0)
    claimed(long, queued(ledger, job)[0])
    clock = (
        "(julianday('now') - 2440587.5) * 86400.0" if ledger.database.is_sqlite else "extract(epoch from now())"
    )
    with ledger.database.read() as session:
        left = session.scalar(text(f"SELECT lease_until - ({clock}) FROM shards WHERE state = 'running'"))
    assert 900 < float(left) <= 1001


def test_each_attempt_sets_the_shards_start_and_only_the_first_the_jobs(ledger: Ledger, job: int) -> None:
    shard_id = queued(ledger, job)[0]
    die(ledger, shard_id)
    first, begun = shards_of(ledger, job)[0].started_at, job_of(ledger, job).started_at
    claimed(ledger, shard_id)
    second = shards_of(ledger, job)[0].started_at
    assert first is not None
    assert second is not None
    assert second > first
    assert job_of(ledger, job).started_at == begun is not None


def test_a_claimed_shard_is_refused_to_a_second_worker(ledger: Ledger, job: int) -> None:
    shard_id = queued(ledger, job)[0]
    claimed(ledger, shard_id)
    before = dump(ledger)
    assert ledger.claim(shard_id, "other") is None
    assert dump(ledger) == before


def test_of_concurrent_claims_one_succeeds(ledger: Ledger, dataset: int, at_once: Rivals) -> None:
    for seed in range(FEW):
        job, _ = ledger.submit(top9(dataset, seed=seed))
        shard_id = queued(ledger, job)[0]
        outcomes = at_once(*[lambda own: own.claim(shard_id, "w")] * 3)  # noqa: B023
        assert sorted(isinstance(outcome, Claim) for outcome in outcomes) == [False, False, True]
        assert shards_of(ledger, job)[0].attempt == 1


def test_of_concurrent_claims_of_an_expired_lease_one_succeeds(
    ledger: Ledger, dataset: int, at_once: Rivals
) -> None:
    for seed in range(FEW):
        job, _ = ledger.submit(top9(dataset, seed=seed))
        shard_id = queued(ledger, job)[0]
        die(ledger, shard_id)
        outcomes = at_once(*[lambda own: own.claim(shard_id, "w")] * 3)  # noqa: B023
        assert sorted(isinstance(outcome, Claim) for outcome in outcomes) == [False, False, True]
        assert shards_of(ledger, job)[0].attempt == 2


def test_waiting_done_failed_and_cancelled_shards_are_refused(ledger: Ledger, dataset: int) -> None:
    job, _ = ledger.submit(top9(dataset, search=3))
    first, second, third = queued(ledger, job)
    waiting = [shard.id for shard in shards_of(ledger, job) if shard.state == ShardState.WAITING]
    assert [ledger.claim(shard_id, "w") for shard_id in waiting] == [None] * len(waiting)
    ledger.complete(claimed(ledger, first))
    assert ledger.claim(first, "w") is None
    ledger.fail(claimed(ledger, second), "broken", again=False)
    assert states(ledger, job)[:3] == ["done", "failed", "cancelled"]
    before = dump(ledger)
    assert [ledger.claim(shard_id, "w") for shard_id in (first, second, third)] == [None, None, None]
    assert dump(ledger) == before


def test_an_unknown_shard_is_not_claimed(ledger: Ledger, job: int) -> None:
    before = dump(ledger)
    for shard_id in (0, -1, -(2**31) - 1, -(2**70), 999_999, 2**31 - 1, 2**31, 2**40, 2**63 - 1, 2**70):
        assert ledger.claim(shard_id, "w") is None
    assert dump(ledger) == before


def test_an_expired_lease_is_taken_over_and_its_old_token_is_refused(ledger: Ledger, job: int) -> None:
    shard_id = queued(ledger, job)[0]
    silent = claimed(ledger, shard_id, "silent")
    expire(ledger, shard_id)
    second = claimed(ledger, shard_id, "second")
    assert (second.attempt, shards_of(ledger, job)[0].worker) == (2, "second")
    with pytest.raises(LeaseLost):
        ledger.complete(silent)
    ledger.complete(second)


def test_an_expired_third_attempt_is_not_claimed_but_left_to_the_sweeper(ledger: Ledger, job: int) -> None:
    shard_id = queued(ledger, job)[0]
    die(ledger, shard_id, times=MAX_ATTEMPTS)
    assert ledger.claim(shard_id, "w") is None
    ledger.sweep()
    assert job_of(ledger, job).state == JobState.FAILED


def test_nothing_is_claimed_once_a_cancel_is_requested(ledger: Ledger, job: int) -> None:
    first, second = queued(ledger, job)
    claimed(ledger, first)
    ledger.cancel(job)
    expire(ledger, first)
    assert ledger.claim(first, "w") is None
    assert ledger.claim(second, "w") is None


def test_a_shard_of_a_finished_job_is_not_claimed(ledger: Ledger, dataset: int) -> None:
    """This holds even if the shard's row was changed manually to queued."""
    done, _ = ledger.submit(top9(dataset, seed=1))
    while job_of(ledger, done).state != JobState.DONE:
        finish_stage(ledger, done)
    failed, _ = ledger.submit(top9(dataset, seed=2))
    ledger.fail(claimed(ledger, queued(ledger, failed)[0]), "broken", again=False)
    cancelled, _ = ledger.submit(top9(dataset, seed=3))
    ledger.cancel(cancelled)
    with ledger.database.write() as session:
        session.execute(update(Shard).values(state="queued"))
    for job in (done, failed, cancelled):
        assert [ledger.claim(shard.id, "w") for shard in shards_of(ledger, job)] == [None] * 6
