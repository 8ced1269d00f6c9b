"""Completing and failing shards: the effects on their stage and job."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, text, update

from shared.jobs.ledger import Claim, LeaseLost, Ledger
from shared.jobs.tables import Artifact, Event, Job, JobState
from shared.jobs.transitions import MAX_ATTEMPTS
from shared.store.store import Store
from tests.integration.ledger.helpers import (
    FEW,
    RACES,
    Rivals,
    claimed,
    finish_stage,
    job_of,
    messages,
    queued,
    shards_of,
    states,
    top9,
)

# --- complete ---


def test_complete_marks_the_shard_and_decrements_the_jobs_counter(ledger: Ledger, job: int) -> None:
    claim = claimed(ledger, queued(ledger, job)[0])
    ledger.complete(
        claim, lambda session: session.add(Event(job_id=job, level="info", message="result")), "ab/c.npz"
    )
    shard = shards_of(ledger, job)[0]
    assert (shard.state, shard.token, shard.lease_until) == ("done", None, None)
    assert (shard.work_done, shard.result_path) == (shard.work_total, "ab/c.npz")
    assert shard.finished_at is not None
    assert "result" in messages(ledger, job)
    assert states(ledger, job) == ["done", "queued", "waiting", "waiting", "waiting", "waiting"]
    assert (job_of(ledger, job).shards_left, job_of(ledger, job).stage) == (5, 0)


def test_stages_follow_one_another_and_the_last_shard_ends_the_job(ledger: Ledger, job: int) -> None:
    seen = []
    while job_of(ledger, job).state != JobState.DONE:
        seen.append(states(ledger, job))
        assert job_of(ledger, job).finished_at is None
        finish_stage(ledger, job)
    assert seen == [
        ["queued", "queued", "waiting", "waiting", "waiting", "waiting"],
        ["done", "done", "queued", "waiting", "waiting", "waiting"],
        ["done", "done", "done", "queued", "queued", "waiting"],
        ["done", "done", "done", "done", "done", "queued"],
    ]
    assert states(ledger, job) == ["done"] * 6
    assert job_of(ledger, job).shards_left == 0
    assert job_of(ledger, job).finished_at is not None
    assert messages(ledger, job)[-1] == "job done"


def test_two_concurrent_last_shards_of_a_stage_queue_the_next_one_once(
    ledger: Ledger, dataset: int, at_once: Rivals
) -> None:
    for seed in range(RACES):
        job, _ = ledger.submit(top9(dataset, seed=seed))
        first, second = (claimed(ledger, shard_id) for shard_id in queued(ledger, job))
        outcomes = at_once(lambda own: own.complete(first), lambda own: own.complete(second))  # noqa: B023
        assert outcomes == [None, None]
        assert states(ledger, job) == ["done", "done", "queued", "waiting", "waiting", "waiting"]
        assert (job_of(ledger, job).shards_left, job_of(ledger, job).stage) == (4, 1)
        assert len(queued(ledger, job)) == 1


def test_two_concurrent_last_shards_of_a_job_end_it_once(ledger: Ledger, dataset: int, at_once: Rivals) -> None:
    for seed in range(RACES):
        job, _ = ledger.submit(top9(dataset, seed=seed))
        with ledger.database.write() as session:  # a job of one stage with two shards
            session.execute(text("DELETE FROM shards WHERE job_id = :job AND stage > 0"), {"job": job})
            session.execute(update(Job).where(Job.id == job).values(shards_total=2, shards_left=2))
        first, second = (claimed(ledger, shard_id) for shard_id in queued(ledger, job))
        outcomes = at_once(lambda own: own.complete(first), lambda own: own.complete(second))  # noqa: B023
        assert outcomes == [None, None]
        assert (job_of(ledger, job).state, job_of(ledger, job).shards_left) == ("done", 0)
        assert messages(ledger, job).count("job done") == 1


def test_concurrent_workers_complete_every_shard_once(ledger: Ledger, dataset: int, at_once: Rivals) -> None:
    """Four workers repeatedly claim all shards until the job is done; each result is a row."""
    job, _ = ledger.submit(top9(dataset, search=6))
    ids = [shard.id for shard in shards_of(ledger, job)]

    def work(own: Ledger) -> int:
        done = 0
        while job_of(own, job).state in ("queued", "running"):
            for shard_id in ids:
                if claim := own.claim(shard_id, "w"):
                    own.heartbeat(claim, 1)
                    row = Event(job_id=job, shard_id=shard_id, level="test", message="result")
                    own.complete(claim, lambda session, row=row: session.add(row))  # type: ignore[misc]
                    done += 1
        return done

    outcomes = at_once(*[work] * 4)
    assert sum(outcomes) == len(ids)
    with ledger.database.read() as session:
        results = session.scalars(select(Event.shard_id).where(Event.level == "test")).all()
    assert sorted(results) == sorted(ids)
    assert {shard.attempt for shard in shards_of(ledger, job)} == {1}


def test_files_that_two_jobs_write_concurrently_are_registered_once(
    ledger: Ledger, dataset: int, tmp_path: Any, at_once: Rivals
) -> None:
    """Two searches of one data set write many identical patches."""
    from worker.kinds.common import register_artifacts
    from worker.runner import ShardContext

    store = Store(tmp_path / "store")
    for turn in range(FEW):
        files = [store.put(f"{turn} {number}".encode(), ".png") for number in range(10)]
        claims = []
        for seed in (2 * turn, 2 * turn + 1):
            job, _ = ledger.submit(top9(dataset, seed=seed))
            claims.append(claimed(ledger, queued(ledger, job)[0]))

        def complete(own: Ledger, claim: Claim, order: int, files: list[Any] = files) -> None:
            context = ShardContext(claim, own, store, "cpu")
            context.complete(lambda session: register_artifacts(context, session, files[::order]))

        outcomes = at_once(
            lambda own: complete(own, claims[0], 1),  # noqa: B023
            lambda own: complete(own, claims[1], -1),  # noqa: B023
        )
        assert outcomes == [None, None]
        with ledger.database.read() as session:
            assert len(session.scalars(select(Artifact)).all()) == 10 * (turn + 1)


# --- fail ---


def test_a_failed_attempt_is_queued_again_and_its_error_is_kept(ledger: Ledger, job: int) -> None:
    shard_id = queued(ledger, job)[0]
    ledger.take_unsent()
    ledger.fail(claimed(ledger, shard_id), "out of memory", again=True)
    shard = shards_of(ledger, job)[0]
    assert (shard.state, shard.attempt, shard.error) == ("queued", 1, "out of memory")
    assert (shard.token, shard.lease_until, shard.sent_at) == (None, None, None)
    assert ledger.take_unsent() == [(shard_id, "analysis")]
    assert (job_of(ledger, job).state, job_of(ledger, job).shards_left) == ("running", 6)


def test_an_attempt_that_fails_while_the_job_is_being_cancelled_is_not_tried_again(
    ledger: Ledger, job: int
) -> None:
    claim = claimed(ledger, queued(ledger, job)[0])
    assert ledger.cancel(job) == "running"
    ledger.fail(claim, "out of memory", again=True)
    assert set(states(ledger, job)) == {"cancelled"}
    assert (job_of(ledger, job).state, shards_of(ledger, job)[0].error) == ("cancelled", "out of memory")


@pytest.mark.parametrize(("attempt", "again"), [(MAX_ATTEMPTS, True), (1, False), (MAX_ATTEMPTS, False)])
def test_a_job_being_cancelled_ends_as_cancelled_after_any_failure(
    ledger: Ledger, job: int, attempt: int, again: bool
) -> None:
    """The last attempt's failure, and one that would be the same every time, as well as any other."""
    first, second = queued(ledger, job)
    other = claimed(ledger, second)
    for _ in range(1, attempt):
        ledger.fail(claimed(ledger, first), "error", again=True)
    claim = claimed(ledger, first)
    assert ledger.cancel(job) == "running"
    ledger.fail(claim, "the last error", again=again)
    assert (job_of(ledger, job).state, states(ledger, job)[:2]) == ("running", ["cancelled", "running"])
    ledger.confirm_cancelled(other)
    row = job_of(ledger, job)
    assert (row.state, row.error, set(states(ledger, job))) == ("cancelled", None, {"cancelled"})
    assert shards_of(ledger, job)[0].error == "the last error"
    assert "the last error" in messages(ledger, job)
    ledger.retry(job)
    assert job_of(ledger, job).state == "queued"


def test_the_third_failed_attempt_fails_the_job(ledger: Ledger, job: int) -> None:
    first, second = queued(ledger, job)
    ledger.complete(claimed(ledger, second))
    for attempt in range(1, MAX_ATTEMPTS + 1):
        claim = claimed(ledger, first)
        assert claim.attempt == attempt
        assert job_of(ledger, job).state == "running"
        ledger.fail(claim, f"error {attempt}", again=True)
    assert states(ledger, job) == ["failed", "done", "cancelled", "cancelled", "cancelled", "cancelled"]
    assert shards_of(ledger, job)[0].error == "error 3"
    row = job_of(ledger, job)
    assert (row.state, row.error, row.shards_left) == ("failed", "error 3", 5)
    assert row.finished_at is not None
    assert ledger.claim(first, "w") is None
    assert {"error 1", "error 2", "error 3"} <= set(messages(ledger, job))


def test_a_known_error_fails_the_job_and_cancels_its_other_shards(ledger: Ledger, job: int) -> None:
    first, second = (claimed(ledger, shard_id) for shard_id in queued(ledger, job))
    ledger.fail(first, "the weights are broken", again=False)
    assert states(ledger, job) == ["failed"] + ["cancelled"] * 5
    assert job_of(ledger, job).error == "the weights are broken"
    with pytest.raises(LeaseLost):
        ledger.heartbeat(second, 1)


def test_any_error_message_can_be_stored(ledger: Ledger, dataset: int) -> None:
    errors = ["ünïcödé ✓", "", "long " * 10**5, "NUL \x00 in it", "name \udcff that is not UTF-8"]
    for seed, error in enumerate(errors):
        job, _ = ledger.submit(top9(dataset, seed=seed))
        ledger.fail(claimed(ledger, queued(ledger, job)[0]), error, again=False)
        assert job_of(ledger, job).state == JobState.FAILED
        assert (job_of(ledger, job).error or "")[:4] == error[:4]


def test_two_concurrent_failures_fail_the_job_once(ledger: Ledger, dataset: int, at_once: Rivals) -> None:
    for seed in range(FEW):
        job, _ = ledger.submit(top9(dataset, seed=seed))
        claims = [claimed(ledger, shard_id) for shard_id in queued(ledger, job)]
        outcomes = at_once(
            *[lambda own, claim=claim: own.fail(claim, "broken", again=False) for claim in claims],
        )
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["LeaseLost", "NoneType"]
        assert sorted(states(ledger, job)[:2]) == ["cancelled", "failed"]
        assert messages(ledger, job).count("job failed") == 1
