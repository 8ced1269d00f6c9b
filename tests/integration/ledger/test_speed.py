"""Speed and time left of a job: of the time in which its shards ran, whatever happens to the job later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.registry import Collector
from sqlalchemy import select, update

from producer.cli.jobs.watching import speed
from producer.operations.metrics.collector import Metrics
from producer.results.progress import StageProgress, job_progress
from shared.jobs.broker import Broker
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Job, Shard
from tests.integration.ledger.helpers import claimed, expire, job_of, queued, top9

HALF = 16  # images of the 32 of a shard


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


def ran(ledger: Ledger, shard_id: int, began: float, ended: float | None = None) -> None:
    """A shard's attempt began so many seconds ago, and ended so many ago."""
    values = {"started_at": ago(began)} | ({} if ended is None else {"finished_at": ago(ended)})
    with ledger.database.write() as session:
        session.execute(update(Shard).where(Shard.id == shard_id).values(**values))


def search(ledger: Ledger, job: int) -> StageProgress:
    return job_progress(ledger.database, job).stages[0]


@pytest.fixture
def half_done(ledger: Ledger, dataset: int) -> tuple[int, int]:
    """A job of two shards of 32 images: one was done in 10 seconds an hour ago, the other is queued; its id."""
    job, _ = ledger.submit(top9(dataset))
    first, second = queued(ledger, job)
    ledger.complete(claimed(ledger, first))
    ran(ledger, first, 3610, 3600)
    return job, second


def test_a_job_that_waits_keeps_its_speed_and_has_no_time_left(ledger: Ledger, half_done: tuple[int, int]) -> None:
    stage = search(ledger, half_done[0])
    assert stage.per_second == pytest.approx(3.2, rel=0.03)
    assert stage.seconds_left is None
    assert speed(stage, "top9") == "3.2 images/s"


@pytest.mark.parametrize("end", ["failed", "cancelled", "failed while it ran", "cancelled while it ran"])
def test_a_job_that_is_over_keeps_its_speed_and_has_no_time_left(
    ledger: Ledger, half_done: tuple[int, int], end: str
) -> None:
    job, second = half_done
    claim = claimed(ledger, second)
    if "while" in end:
        ledger.heartbeat(claim, HALF)
    if "failed" in end:
        ledger.fail(claim, "broken", again=False)
    else:
        ledger.cancel(job)
        ledger.confirm_cancelled(claim)
    ran(ledger, second, 1800, 1790)
    assert job_of(ledger, job).state == end.split()[0]
    with ledger.database.write() as session:
        session.execute(update(Job).where(Job.id == job).values(finished_at=ago(1790)))
    stage = search(ledger, job)
    assert stage.per_second == pytest.approx(3.2, rel=0.03)
    assert stage.seconds_left is None
    assert job_progress(ledger.database, job).as_json()["stages"][0]["seconds_left"] is None
    assert "left" not in speed(stage, "top9")


def test_the_only_shard_of_a_cancelled_job_has_a_speed(ledger: Ledger, dataset: int) -> None:
    job, _ = ledger.submit(top9(dataset, search=1))
    (only,) = queued(ledger, job)
    claim = claimed(ledger, only)
    ledger.heartbeat(claim, HALF)
    ledger.cancel(job)
    ledger.confirm_cancelled(claim)
    ran(ledger, only, 3604, 3600)
    assert search(ledger, job).per_second == pytest.approx(4.0, rel=0.03)
    assert search(ledger, job).seconds_left is None


def test_time_in_which_nothing_ran_does_not_slow_a_job_down(ledger: Ledger, half_done: tuple[int, int]) -> None:
    """An hour without a worker, or before a retry: then the second shard runs as fast as the first."""
    job, second = half_done
    claim = claimed(ledger, second)
    ledger.heartbeat(claim, HALF)
    ran(ledger, second, 5)
    stage = search(ledger, job)
    assert stage.per_second == pytest.approx(3.2, rel=0.3)
    assert stage.seconds_left == pytest.approx(5, rel=0.3)


def test_shards_that_run_at_once_add_up(ledger: Ledger, dataset: int) -> None:
    job, _ = ledger.submit(top9(dataset, search=4))
    for shard_id in queued(ledger, job)[:2]:
        ledger.complete(claimed(ledger, shard_id))
        ran(ledger, shard_id, 110, 100)
    assert search(ledger, job).per_second == pytest.approx(6.4, rel=0.1)


def test_a_shard_whose_worker_is_gone_slows_nothing_down(ledger: Ledger, half_done: tuple[int, int]) -> None:
    """Nobody sweeps, so that it still counts as running."""
    job, second = half_done
    ledger.heartbeat(claimed(ledger, second), 0)
    ran(ledger, second, 600)
    expire(ledger, second)
    stage = search(ledger, job)
    assert stage.shards["running"] == 1
    assert stage.per_second == pytest.approx(3.2, rel=0.03)
    assert stage.seconds_left is None


def test_what_an_earlier_attempt_did_is_done_but_not_by_this_one(ledger: Ledger, dataset: int) -> None:
    """As a training run that goes on from its last epoch: not all was computed in the last 80 seconds."""
    job, _ = ledger.submit(top9(dataset, search=1))
    (only,) = queued(ledger, job)
    ledger.fail(claimed(ledger, only), "stopped", again=True)
    claim = claimed(ledger, only)
    ledger.resume(claim, HALF)
    ran(ledger, only, 80)
    stage = search(ledger, job)
    assert (stage.done, stage.per_second, stage.seconds_left) == (HALF, None, None)
    ledger.heartbeat(claim, HALF + 8)
    stage = search(ledger, job)
    assert stage.per_second == pytest.approx(0.1, rel=0.1)
    assert exported(ledger)["search"] == pytest.approx(0.1, rel=0.1)
    assert stage.seconds_left == pytest.approx(80, rel=0.1)
    ledger.complete(claim)
    ran(ledger, only, 160, 0)
    assert search(ledger, job).per_second == pytest.approx(0.1, rel=0.1)


def exported(ledger: Ledger) -> dict[str, float]:
    """The exported speed of each stage."""
    url = ledger.database.url.render_as_string(hide_password=False)
    metrics: Collector = Metrics(url, Broker("redis://127.0.0.1:9/0"), Path("/no/such/store"), seconds=60)
    families = {family.name: family for family in metrics.collect()}
    samples = families["unitscope_work_per_second"].samples
    return {sample.labels["stage"]: sample.value for sample in samples}


def test_a_stage_that_is_done_keeps_its_speed(ledger: Ledger, half_done: tuple[int, int]) -> None:
    job, second = half_done
    ledger.complete(claimed(ledger, second))
    ran(ledger, second, 1810, 1800)
    stage = search(ledger, job)
    assert (stage.done, stage.total, stage.seconds_left) == (64, 64, None)
    assert stage.per_second == pytest.approx(3.2, rel=0.03)


def test_the_exported_speed_leaves_out_a_worker_that_is_gone(ledger: Ledger, half_done: tuple[int, int]) -> None:
    _, second = half_done
    ledger.heartbeat(claimed(ledger, second), HALF)
    ran(ledger, second, 5)
    assert exported(ledger)["search"] == pytest.approx(3.2, rel=0.3)
    expire(ledger, second)
    assert exported(ledger) == {}
    with ledger.database.read() as session:
        assert session.scalar(select(Shard.state).where(Shard.id == second)) == "running"
