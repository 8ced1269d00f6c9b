"""Workers whose processes died, their problems and rows, and whether work is left."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text

from shared.database.base import utc_now
from shared.jobs.hosts import HOSTS_WITHOUT_DATA
from shared.jobs.ledger import LeaseLost, Ledger
from shared.jobs.workers import (
    clear_worker_problem,
    forget_workers,
    is_idle,
    set_worker_problem,
    typical_seconds,
    workers_with_problems,
)
from tests.integration.ledger.helpers import claimed, job_of, queued, shards_of, states

CAUSE = "was killed by SIGKILL"


def test_a_dead_workers_shard_fails_after_three_attempts_with_the_cause(ledger: Ledger, job: int) -> None:
    first, second = queued(ledger, job)
    other = claimed(ledger, second, "other")
    for _ in range(3):
        claim = claimed(ledger, first, "w")
        ledger.worker_died("w", CAUSE, utc_now())
        with pytest.raises(LeaseLost):
            ledger.complete(claim)
    assert shards_of(ledger, job)[0].attempt == 3
    error = f"the process of worker w {CAUSE}, in attempt 3 of 3"
    assert shards_of(ledger, job)[0].error == error
    assert (job_of(ledger, job).state, job_of(ledger, job).error) == ("failed", f"Shard 0 (search): {error}.")
    with pytest.raises(LeaseLost):
        ledger.complete(other)


def test_a_shard_that_the_next_process_has_begun_stays(ledger: Ledger, job: int) -> None:
    """The report of a death may be late, and the next process has the same name."""
    died = utc_now() - timedelta(seconds=1)
    claim = claimed(ledger, queued(ledger, job)[0], "w")
    ledger.worker_died("w", CAUSE, died)
    ledger.complete(claim)
    assert states(ledger, job)[0] == "done"


def test_problems_and_rows_of_workers(ledger: Ledger) -> None:
    database = ledger.database
    set_worker_problem(database, "new", "cpu", ["cpu"], 0, "It exited.")
    ledger.worker_seen("old", "cuda:0", ["cpu"], 5, seconds_ago=20, memory=(1, 2**40))
    set_worker_problem(database, "old", "cuda:0", ["cpu"], 5, "It is slow.")
    assert [worker.name for worker in ledger.live_workers()] == ["old"]  # a problem is no sign of life
    assert [worker.problem for worker in workers_with_problems(database)] == ["It exited.", "It is slow."]
    assert (workers_with_problems(database)[1].memory_used, workers_with_problems(database)[1].memory_total) == (
        1,
        2**40,
    )
    clear_worker_problem(database, "new", "another problem")
    clear_worker_problem(database, "old", "It is slow.")
    assert [worker.name for worker in workers_with_problems(database)] == ["new"]
    ledger.worker_seen("old", "cuda:0", ["cpu"], 5, seconds_ago=31)
    assert list(ledger.live_workers()) == []
    with database.write() as session:
        session.execute(text("UPDATE workers SET seen_at = seen_at - 3600 WHERE name = 'new'"))
    forget_workers(database)
    assert list(workers_with_problems(database)) == []
    with database.read() as session:
        assert session.scalars(text("SELECT name FROM workers")).all() == ["old"]


def test_work_that_is_left(ledger: Ledger, job: int) -> None:
    """Shards of other queues and workers, and those that the machine leaves to others, are not waited for."""
    database = ledger.database
    assert not is_idle(database, ["analysis"], "here", ["w"])
    assert is_idle(database, ["training", "cpu"], "here", ["w"])
    first, second = (
        claimed(ledger, shard, worker) for shard, worker in zip(queued(ledger, job), "vw", strict=True)
    )
    assert not is_idle(database, ["analysis"], "here", ["w"])
    assert is_idle(database, ["analysis"], "here", ["u"])
    ledger.complete(first)
    ledger.complete(second)  # opens the next stage
    assert not is_idle(database, ["analysis", "cpu"], "here", ["u"])
    with database.write() as session:
        payload = f'{{"{HOSTS_WITHOUT_DATA}": ["here"]}}'
        session.execute(text("UPDATE shards SET payload = :payload WHERE state = 'queued'"), {"payload": payload})
    assert is_idle(database, ["analysis", "cpu"], "here", ["u"])
    assert not is_idle(database, ["analysis", "cpu"], "there", ["u"])


def test_the_typical_duration_is_that_of_the_slowest_stage_in_work(ledger: Ledger, job: int) -> None:
    assert typical_seconds(ledger.database, ["analysis"]) == 0
    with ledger.database.write() as session:
        for name, stage, value in (
            ("shard_seconds", "search", 90), ("shards_done", "search", 3),
            ("shard_seconds", "project", 9000), ("shards_done", "project", 3),
        ):  # fmt: skip
            row = {"name": name, "stage": stage, "value": value}
            session.execute(text("INSERT INTO counters VALUES (:name, 'top9', :stage, :value)"), row)
    assert typical_seconds(ledger.database, ["analysis"]) == 30
    assert typical_seconds(ledger.database, ["training"]) == 0
