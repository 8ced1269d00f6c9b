"""Cancelling a job and taking it up again, whatever its workers are doing meanwhile."""

from __future__ import annotations

import pytest

from shared.errors import NoSuchJob
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Job, JobState
from shared.jobs.transitions import MAX_ATTEMPTS
from tests.integration.ledger.helpers import (
    ACTIVE,
    FEW,
    RACES,
    Rivals,
    claimed,
    die,
    dump,
    expire,
    finish,
    finish_stage,
    job_of,
    messages,
    queued,
    refused,
    shards_of,
    states,
    top9,
)

# --- cancel ---


def test_cancel_of_an_idle_job_is_at_once(ledger: Ledger, job: int, at_once: Rivals) -> None:
    finish_stage(ledger, job)
    assert ledger.cancel(job) == "cancelled"
    assert states(ledger, job) == ["done", "done"] + ["cancelled"] * 4
    row = job_of(ledger, job)
    assert (row.state, row.shards_left) == ("cancelled", 4)
    assert row.finished_at is not None


def test_cancel_waits_for_the_workers_to_notice(ledger: Ledger, job: int) -> None:
    first, second = (claimed(ledger, shard_id) for shard_id in queued(ledger, job))
    assert ledger.cancel(job) == "running"
    assert states(ledger, job) == ["running", "running"] + ["cancelled"] * 4
    ledger.confirm_cancelled(first)
    assert job_of(ledger, job).state == "running"
    ledger.confirm_cancelled(second)
    assert job_of(ledger, job).state == "cancelled"
    assert states(ledger, job) == ["cancelled"] * 6


def test_two_workers_that_confirm_a_cancel_at_once_end_the_job(
    ledger: Ledger, dataset: int, at_once: Rivals
) -> None:
    for seed in range(FEW):
        job, _ = ledger.submit(top9(dataset, seed=seed))
        first, second = (claimed(ledger, shard_id) for shard_id in queued(ledger, job))
        ledger.cancel(job)
        outcomes = at_once(
            lambda own: own.confirm_cancelled(first),  # noqa: B023
            lambda own: own.confirm_cancelled(second),  # noqa: B023
        )
        assert outcomes == [None, None]
        assert job_of(ledger, job).state == "cancelled"
        assert messages(ledger, job).count("job cancelled") == 1


def test_cancel_twice_is_the_same_as_once(ledger: Ledger, job: int) -> None:
    claim = claimed(ledger, queued(ledger, job)[0])
    assert ledger.cancel(job) == "running"
    assert ledger.cancel(job) == "running"
    ledger.confirm_cancelled(claim)
    before = dump(ledger)
    assert ledger.cancel(job) == "cancelled"
    assert dump(ledger) == before


def test_a_worker_that_is_done_before_it_notices_a_cancel_ends_the_job(ledger: Ledger, job: int) -> None:
    first, second = (claimed(ledger, shard_id) for shard_id in queued(ledger, job))
    ledger.cancel(job)
    ledger.complete(first)
    assert job_of(ledger, job).state == "running"
    ledger.complete(second)
    assert states(ledger, job) == ["done", "done"] + ["cancelled"] * 4
    assert job_of(ledger, job).state == "cancelled"


def test_a_cancel_that_comes_with_the_last_shard_of_a_stage_ends_the_job(
    ledger: Ledger, dataset: int, at_once: Rivals
) -> None:
    for seed in range(RACES):
        job, _ = ledger.submit(top9(dataset, search=1, seed=seed))
        claim = claimed(ledger, queued(ledger, job)[0])
        outcomes = at_once(
            lambda own: own.complete(claim),  # noqa: B023
            lambda own: own.cancel(job),  # noqa: B023
        )
        assert outcomes[0] is None
        assert outcomes[1] in ("running", "cancelled")
        assert states(ledger, job) == ["done"] + ["cancelled"] * 3
        assert job_of(ledger, job).state == "cancelled"


def test_a_job_whose_last_shard_is_done_before_it_notices_a_cancel_is_done(ledger: Ledger, job: int) -> None:
    for _ in range(3):
        finish_stage(ledger, job)
    claim = claimed(ledger, queued(ledger, job)[0])
    assert ledger.cancel(job) == "running"
    ledger.complete(claim)
    assert job_of(ledger, job).state == "done"


def test_a_cancelled_job_whose_worker_died_is_ended_by_the_sweeper(ledger: Ledger, job: int) -> None:
    first, second = queued(ledger, job)
    die(ledger, first)
    die(ledger, second, times=MAX_ATTEMPTS)
    ledger.cancel(job)
    assert ledger.sweep() == 2
    assert states(ledger, job) == ["cancelled"] * 6
    assert job_of(ledger, job).state == "cancelled"


def test_a_failure_after_a_cancel_request_ends_the_job(ledger: Ledger, job: int) -> None:
    claim = claimed(ledger, queued(ledger, job)[0])
    ledger.cancel(job)
    ledger.fail(claim, "out of memory", again=True)
    assert job_of(ledger, job).state == "cancelled"
    assert not set(states(ledger, job)) & set(ACTIVE)


def test_a_job_that_is_over_is_not_cancelled(ledger: Ledger, dataset: int) -> None:
    done, _ = ledger.submit(top9(dataset, seed=1))
    finish(ledger, done)
    failed, _ = ledger.submit(top9(dataset, seed=2))
    ledger.fail(claimed(ledger, queued(ledger, failed)[0]), "broken", again=False)
    refused(ledger, ledger.cancel, done, "done")
    refused(ledger, ledger.cancel, failed, "failed")


def test_a_claim_that_comes_with_a_cancel(ledger: Ledger, dataset: int, at_once: Rivals) -> None:
    """Either the worker has the shard and is told, or it doesn't get it: the job ends both ways."""
    for seed in range(FEW):
        job, _ = ledger.submit(top9(dataset, seed=seed))
        shard_id = queued(ledger, job)[0]
        claim, state = at_once(lambda own: own.claim(shard_id, "w"), lambda own: own.cancel(job))  # noqa: B023
        assert state == ("running" if claim else "cancelled")
        if claim:
            assert ledger.heartbeat(claim, 0) is True
            ledger.confirm_cancelled(claim)
        assert job_of(ledger, job).state == "cancelled"


# --- retry ---


def test_retry_keeps_done_shards_and_begins_where_the_job_stopped(ledger: Ledger, job: int) -> None:
    finish_stage(ledger, job)
    finish_stage(ledger, job)
    first, second = queued(ledger, job)
    ledger.complete(claimed(ledger, first), result_path="ab/c.npz")
    ledger.take_unsent()
    for _ in range(MAX_ATTEMPTS):
        ledger.fail(claimed(ledger, second), "broken", again=True)
    ledger.retry(job)
    assert states(ledger, job) == ["done", "done", "done", "done", "queued", "waiting"]
    row = job_of(ledger, job)
    assert (row.state, row.stage, row.shards_left, row.error) == ("queued", 2, 2, None)
    assert (row.cancel_requested, row.finished_at) == (False, None)
    shards = shards_of(ledger, job)
    assert shards[3].result_path == "ab/c.npz"
    assert ledger.take_unsent() == [(second, "analysis")]
    assert claimed(ledger, second).attempt == 1


def test_a_retried_shard_looks_as_if_it_had_never_begun(ledger: Ledger, job: int) -> None:
    """Its message has to be sent again too, even of one that was not claimed."""
    ledger.take_unsent()
    claim = claimed(ledger, queued(ledger, job)[0])
    ledger.heartbeat(claim, 20)
    ledger.fail(claim, "broken", again=False)
    ledger.retry(job)
    for shard in shards_of(ledger, job):
        assert (shard.attempt, shard.error, shard.sent_at, shard.token) == (0, None, None, None)
        assert (shard.work_done, shard.started_at, shard.finished_at) == (0, None, None)


def test_a_cancelled_job_is_taken_up_again_and_can_be_done(ledger: Ledger, job: int) -> None:
    claim = claimed(ledger, queued(ledger, job)[0])
    ledger.cancel(job)
    ledger.confirm_cancelled(claim)
    ledger.retry(job)
    assert states(ledger, job) == ["queued", "queued", "waiting", "waiting", "waiting", "waiting"]
    while job_of(ledger, job).state != JobState.DONE:
        assert ledger.heartbeat(claimed(ledger, queued(ledger, job)[0]), 0) is False
        expire(ledger, next(s.id for s in shards_of(ledger, job) if s.state == "running"))
        ledger.sweep()
        finish_stage(ledger, job)
    assert job_of(ledger, job).shards_left == 0


def test_a_job_under_way_or_done_is_not_retried(ledger: Ledger, job: int) -> None:
    refused(ledger, ledger.retry, job, "queued")
    finish_stage(ledger, job)
    refused(ledger, ledger.retry, job, "running")
    finish(ledger, job)
    refused(ledger, ledger.retry, job, "done")


def test_a_job_that_never_had_shards_is_not_retried(ledger: Ledger, dataset: int) -> None:
    """An import that was broken off leaves such a one."""
    with ledger.database.write() as session:
        job = Job(kind="top9", key="importing", specification={}, dataset_id=dataset)
        job.state, job.shards_total, job.shards_left = JobState.CANCELLED, 0, 0
        session.add(job)
    refused(ledger, ledger.retry, job.id, "cancelled")


def test_two_that_retry_at_once_do_it_once(ledger: Ledger, dataset: int, at_once: Rivals) -> None:
    for seed in range(FEW):
        job, _ = ledger.submit(top9(dataset, seed=seed))
        ledger.cancel(job)
        outcomes = at_once(*[lambda own: own.retry(job)] * 2)  # noqa: B023
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["JobStateConflict", "NoneType"]
        assert messages(ledger, job).count("retry requested") == 1


# --- jobs that are not there ---


def test_what_is_asked_of_a_job_that_is_not_there(ledger: Ledger) -> None:
    for call in (ledger.cancel, ledger.retry):
        with pytest.raises(NoSuchJob, match="no job 4711") as raised:
            call(4711)
        assert raised.value.exit_code == 4
