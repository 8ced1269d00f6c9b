"""Shards on machines that can't read the images of a data set."""

from __future__ import annotations

from typing import Any

import pytest

from shared.jobs.hosts import host_of
from shared.jobs.tables import ShardState
from shared.jobs.transitions import MAX_ATTEMPTS
from tests.integration.machines import ELSEWHERE, FAR, HERE, SAME, Machines


def test_a_shard_is_handed_back_and_left_to_other_machines(machines: Machines) -> None:
    whole = machines.submit()
    machines.run_all(HERE)
    machines.alive(HERE, SAME, ELSEWHERE)
    job = machines.submit()
    machines.root.rename(machines.away)
    machines.run(HERE)
    (first, *_) = machines.shards(ShardState.QUEUED)
    assert first.attempt == 0
    assert "can't be read on" in str(first.error)
    machines.run(SAME)  # another worker of the same machine
    assert machines.shards(ShardState.QUEUED)[0].attempt == 0
    assert machines.analyze("logs", job).stdout.count("begins on") == 1
    machines.away.rename(machines.root)  # the other machine has the folder
    machines.run_all(ELSEWHERE)
    assert machines.status(job)["summary"]["images_left_out"] == 0
    assert rows(machines, job) == rows(machines, whole)


def rows(machines: Machines, job: str) -> list[dict[str, Any]]:
    listed = machines.analyze.json("results", job)
    return [{name: row[name] for name in ("unit", "rank", "image_id", "activation")} for row in listed]


def test_a_job_fails_once_every_machine_has_handed_its_shard_back(machines: Machines) -> None:
    machines.alive(HERE, SAME, ELSEWHERE, FAR)
    job = machines.submit()
    machines.root.rename(machines.away)
    for worker in (HERE, FAR):
        machines.run(worker)
        assert machines.status(job)["state"] == "running"
    for _ in range(MAX_ATTEMPTS):
        machines.run(ELSEWHERE)
    status = machines.status(job)
    assert status["state"] == "failed"
    assert str(machines.root) in status["error"]
    assert "analyze dataset update" in status["error"]
    machines.away.rename(machines.root)
    machines.analyze("retry", job)
    machines.run_all(HERE)
    assert machines.status(job)["summary"]["images_left_out"] == 0


def test_without_another_machine_every_attempt_counts(machines: Machines) -> None:
    machines.alive(HERE, SAME)
    job = machines.submit()
    machines.root.rename(machines.away)
    for worker in (HERE, SAME, HERE):
        assert machines.status(job)["state"] != "failed"
        machines.run(worker)
    assert machines.status(job)["state"] == "failed"


def test_a_machine_tries_again_when_the_others_are_gone(machines: Machines) -> None:
    machines.alive(HERE, ELSEWHERE)
    job = machines.submit()
    machines.root.rename(machines.away)
    machines.run(HERE)
    machines.ledger.worker_gone(ELSEWHERE)
    machines.away.rename(machines.root)
    machines.run_all(HERE)
    assert machines.status(job)["state"] == "done"


@pytest.mark.parametrize(
    ("worker", "host"),
    [
        ("gpu-3-cuda0-0a1b2c", "gpu-3"),
        ("gpu-31-cpu-0a1b2c", "gpu-31"),
        ("a-cpu-b-cuda12-0a1b2c", "a-cpu-b"),
        ("laptop:4711", "laptop"),
    ],
)
def test_the_machine_of_a_worker(worker: str, host: str) -> None:
    assert host_of(worker) == host
