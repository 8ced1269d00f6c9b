"""Shards on machines that can't read the images of a data set."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import select

from shared.database.datasets import Dataset
from shared.jobs.hosts import host_of, set_problem
from shared.jobs.tables import ShardState, Worker
from shared.jobs.transitions import MAX_ATTEMPTS
from tests.integration.machines import ELSEWHERE, FAR, HERE, SAME, Machines
from worker.missing_data import MissingData


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


# --- machines with other files than those that were registered ---


def replace_images(machines: Machines, count: int | None = None) -> dict[Path, bytes]:
    """Replace files of the data set by another image; return their contents."""
    paths = sorted(machines.root.rglob("*.jpg"))[:count]
    contents = {path: path.read_bytes() for path in paths}
    other = io.BytesIO()
    Image.new("RGB", (500, 400), "teal").save(other, "jpeg")
    for path in paths:
        path.write_bytes(other.getvalue())
    return contents


def test_a_shard_with_another_image_is_handed_back(machines: Machines) -> None:
    whole = machines.submit()
    machines.run_all(HERE)
    machines.alive(HERE, ELSEWHERE)
    job = machines.submit()
    registered = replace_images(machines, 1)
    machines.run(HERE)
    (first, *_) = machines.shards(ShardState.QUEUED)
    assert first.attempt == 0
    assert "is not the one that was registered" in str(first.error)
    assert machines.images_check()["well"]  # the machine takes shards of other images
    machines.run(HERE)
    assert machines.analyze("logs", job).stdout.count("begins on") == 1
    for path, content in registered.items():
        path.write_bytes(content)
    machines.run_all(ELSEWHERE)
    assert machines.status(job)["summary"]["images_left_out"] == 0
    assert rows(machines, job) == rows(machines, whole)


def test_a_machine_with_other_images_takes_no_shards_and_the_job_fails(machines: Machines) -> None:
    machines.alive(HERE, ELSEWHERE)
    job = machines.submit()
    registered = replace_images(machines)
    machines.run(HERE)
    check = machines.images_check()
    assert f"{HERE}: It can't read the images of data set 'shapes'" in check["found"]
    assert f"{machines.root} (its files have other content than those that were registered)" in check["found"]
    assert "It takes no shards of it" in check["found"]
    for _ in range(MAX_ATTEMPTS):
        machines.run(ELSEWHERE)
    status = machines.status(job)
    assert status["state"] == "failed"
    assert f"Image {machines.root}" in status["error"]
    assert "is not the one that was registered" in status["error"]
    assert "`analyze dataset update`" in status["error"]
    for path, content in registered.items():
        path.write_bytes(content)
    machines.analyze("retry", job)
    machines.run_all(HERE)
    assert machines.status(job)["summary"]["images_left_out"] == 0
    assert f"{HERE}: It can't read" not in machines.images_check()["found"]


# --- machines without a data set ---


def test_a_machine_without_the_data_set_takes_no_shards_of_it_until_it_is_back(machines: Machines) -> None:
    machines.alive(HERE, ELSEWHERE)
    job = machines.submit()
    machines.root.rename(machines.away)
    machines.run(HERE)
    problem = f"data set 'shapes' at {machines.root} (No such file or directory). It takes no shards of it"
    check = machines.images_check()
    assert not check["well"]
    assert f"{HERE}: It can't read the images of {problem}" in check["found"]
    second = machines.shards(ShardState.QUEUED)[1]  # of which no machine knows anything yet
    machines.run(HERE, second)
    assert machines.analyze("logs", job).stdout.count("begins on") == 1
    assert machines.status(job)["hosts_without_images"] == ["a-1"]
    assert "1 machine can't read the images: a-1." in machines.analyze("status", job).stdout
    assert f"Job {job}: 1 machine can't read the images: a-1." in machines.analyze("ls").stderr
    machines.away.rename(machines.root)
    machines.run_all(HERE)  # also the shard that it handed back
    assert machines.status(job)["state"] == "done"
    assert machines.status(job)["hosts_without_images"] == []
    assert machines.images_check()["well"]


def test_a_machine_that_lacks_one_file_takes_other_shards(machines: Machines) -> None:
    machines.alive(HERE, ELSEWHERE)
    job = machines.submit()
    file = min(machines.root.rglob("*.jpg"))
    file.rename(machines.away)
    machines.run(HERE)
    assert machines.images_check()["well"]
    machines.run(HERE, machines.shards(ShardState.QUEUED)[1])
    assert machines.analyze("logs", job).stdout.count("search: done") == 1


def test_machines_that_all_lack_the_data_set_fail_the_job(machines: Machines) -> None:
    """Each has handed back another shard, and would leave the rest to the other."""
    machines.alive(HERE, ELSEWHERE)
    job = machines.submit()
    first, second = machines.shards(ShardState.QUEUED)
    machines.root.rename(machines.away)
    machines.run(HERE, first)
    machines.run(ELSEWHERE, second)
    for attempt in range(4 * MAX_ATTEMPTS):
        if queued := machines.shards(ShardState.QUEUED):
            machines.run((HERE, ELSEWHERE)[attempt % 2], queued[-1])
    status = machines.status(job)
    assert status["state"] == "failed"
    assert str(machines.root) in status["error"]


def test_pauses_grow_while_nothing_else_is_queued(machines: Machines) -> None:
    machines.alive(HERE, ELSEWHERE)
    machines.submit()
    missing = MissingData(machines.ledger, HERE)
    assert [missing.pause_before_next(1.0) for _ in range(3)] == [1.0, 1.0, 1.0]  # its shards are queued
    machines.root.rename(machines.away)
    (shard, *_) = machines.shards(ShardState.QUEUED)
    with machines.database.read() as session:
        dataset_id = session.scalars(select(Dataset.id)).one()
    missing.handed_back(dataset_id)
    assert not missing.has_data_of(shard.id)
    assert [missing.pause_before_next(1.0) for _ in range(7)] == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    missing.shard_ran()
    assert missing.pause_before_next(1.0) == 1.0
    machines.away.rename(machines.root)
    assert missing.has_data_of(shard.id)


def test_another_problem_of_the_worker_stays(machines: Machines) -> None:
    machines.alive(HERE)
    with machines.database.write() as session:
        session.get_one(Worker, HERE).problem = "restarted again and again"
        set_problem(session, HERE, None)
    with machines.database.read() as session:
        assert session.get_one(Worker, HERE).problem == "restarted again and again"
