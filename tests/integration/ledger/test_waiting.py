"""What a queued job waits for, and about how long, in `analyze status`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from producer.results.progress import job_progress
from producer.results.waiting import Waiting
from shared.jobs.ledger import Claim, Ledger
from shared.jobs.priority import Priority
from shared.jobs.tables import Shard
from shared.kinds.specification import ANALYSIS, QUEUES
from tests.integration.ledger.helpers import claimed, pause_is_over, queued, top9, training

ABOUT = 0.1  # relative


def waiting(ledger: Ledger, job: int) -> Waiting:
    found = job_progress(ledger.database, job).waiting
    assert found is not None
    return found


def runs(ledger: Ledger, shard_id: int, work: int, seconds: float, worker: str = "w") -> Claim:
    """Let a worker run a shard that it began so many seconds ago, and of which it has done some work."""
    claim = claimed(ledger, shard_id, worker)
    ledger.heartbeat(claim, work)
    began = datetime.now(UTC) - timedelta(seconds=seconds)
    with ledger.database.write() as session:
        session.execute(update(Shard).where(Shard.id == shard_id).values(started_at=began))
    return claim


def test_without_a_worker_of_its_queue(ledger: Ledger, job: int) -> None:
    ledger.worker_seen("w", "cpu", ["training", "cpu"], 1)
    assert waiting(ledger, job) == Waiting([ANALYSIS], 0, [], 0, False, None)


def test_a_job_that_runs_or_has_ended_waits_for_nothing(ledger: Ledger, job: int) -> None:
    first = queued(ledger, job)[0]
    claimed(ledger, first)
    assert job_progress(ledger.database, job).waiting is None
    ledger.cancel(job)
    assert job_progress(ledger.database, job).waiting is None


def test_the_time_is_that_of_the_running_shards_and_of_those_before(ledger: Ledger, dataset: int) -> None:
    for worker in ("v", "w"):
        ledger.worker_seen(worker, "cpu", QUEUES, 1)
    done, _ = ledger.submit(top9(dataset, search=1))
    ledger.complete(runs(ledger, queued(ledger, done)[0], 32, 20))  # measured: 20 s
    ledger.cancel(done)
    busy, _ = ledger.submit(top9(dataset, search=4, seed=1))
    mine, _ = ledger.submit(top9(dataset, seed=2))
    assert waiting(ledger, mine) == Waiting([ANALYSIS], 2, [], 4, False, pytest.approx(40, rel=ABOUT))
    shards = queued(ledger, busy)
    runs(ledger, shards[0], 8, 10, "v")  # 24 of 32 images are left, at 0.8 a second
    runs(ledger, shards[1], 0, 10, "w")  # 10 of the 20 s are left
    assert waiting(ledger, mine) == Waiting([ANALYSIS], 2, [busy], 2, False, pytest.approx(40, rel=ABOUT))
    ledger.set_priority(mine, Priority.HIGH)
    assert waiting(ledger, mine) == Waiting([ANALYSIS], 2, [busy], 0, False, pytest.approx(10, rel=ABOUT))


def test_the_time_is_unknown_if_nothing_was_measured(ledger: Ledger, dataset: int) -> None:
    ledger.worker_seen("w", "cpu", QUEUES, 1)
    busy, _ = ledger.submit(top9(dataset, search=1))
    runs(ledger, queued(ledger, busy)[0], 0, 10)
    mine, _ = ledger.submit(top9(dataset, seed=1))
    assert waiting(ledger, mine) == Waiting([ANALYSIS], 1, [busy], 0, False, None)


def test_a_run_ends_its_turn_after_its_time_slice(ledger: Ledger, dataset: int) -> None:
    """A run of 10 epochs of 12 images, 4 seconds each; it may run for 10 minutes."""
    ledger.worker_seen("w", "cpu", QUEUES, 1)
    run, _ = ledger.submit(training(dataset))
    (shard_id,) = queued(ledger, run)
    claim = runs(ledger, shard_id, 15, 5)
    mine, _ = ledger.submit(top9(dataset))
    assert waiting(ledger, mine).seconds == pytest.approx(35, rel=ABOUT)
    slow, _ = ledger.submit(training(dataset, seed=1))
    assert waiting(ledger, slow).seconds == pytest.approx(35, rel=ABOUT)
    ledger.set_priority(mine, Priority.HIGH)
    assert waiting(ledger, mine).seconds == pytest.approx(3, rel=ABOUT)  # until its second epoch ends
    ledger.set_priority(mine, Priority.NORMAL)
    with ledger.database.write() as session:  # half as fast: after 10 minutes in its ninth epoch
        began = datetime.now(UTC) - timedelta(seconds=595)
        session.execute(update(Shard).where(Shard.id == shard_id).values(started_at=began, work_done=119))
    assert waiting(ledger, mine).seconds == pytest.approx(5, rel=ABOUT)
    ledger.pause(claim, 96, 60.0, "others wait")
    found = waiting(ledger, run)
    assert (found.paused, found.shards_before, found.seconds) == (True, 2, None)
    pause_is_over(ledger, shard_id)
    assert waiting(ledger, run) == Waiting(["training"], 1, [], 0, False, 0.0)
