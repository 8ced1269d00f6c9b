"""Shards on machines that can't read the images of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
from sqlalchemy import select

from producer.datasets.shapes import generate
from shared.database.connection import Database
from shared.jobs.hosts import host_of
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Shard, ShardState
from shared.jobs.transitions import MAX_ATTEMPTS
from shared.kinds.specification import QUEUES
from shared.settings import load_settings
from tests.conftest import Analyze
from unitscope.networks.build import build
from unitscope.networks.initialization import initialize
from worker.runner import run

HERE, SAME, ELSEWHERE, FAR = (f"{host}-cpu-{number:06x}" for number, host in enumerate(("a-1", "a-1", "b", "c")))


class Machines:
    """A home with a job, whose shards this process runs in the names of workers of different machines."""

    def __init__(self, analyze: Analyze, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.analyze, self.root, self.away = analyze, folder / "shapes", folder / "away"
        generate(self.root, images=12)
        analyze("dataset", "add", "shapes", "--root", self.root)
        for name, value in analyze.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("ANALYZE_CACHE_GB", "0")  # cached images are not read
        monkeypatch.setattr("worker.runner.RETRY_SECONDS", 0.01)
        self.monkeypatch = monkeypatch
        self.database = Database(analyze.database_url)
        self.ledger = Ledger(self.database)
        self.weights = folder / "weights.safetensors"
        model = build("zfnet", 20, 64, fc=8)
        initialize(model, "he")
        safetensors.torch.save_file(model.state_dict(), self.weights)

    def alive(self, *workers: str) -> None:
        for worker in workers:
            self.ledger.worker_seen(worker, "cpu", QUEUES, 1)

    def submit(self) -> str:
        search = ("submit", "--layer", "1", "--units", "0-2", "--dataset", "shapes", "--split", "trainval")
        network = ("--weights", self.weights, "--network", "zfnet", "--size", 64, "--fc", 8)
        return self.analyze(*search, *network, "--shards", 2, "--force").stdout.strip()

    def shards(self, *states: str) -> list[Shard]:
        with self.database.read() as session:
            query = select(Shard).where(Shard.state.in_(states)).order_by(Shard.id)
            return list(session.scalars(query))

    def run(self, worker: str) -> None:
        """Run the first queued shard."""
        self.monkeypatch.setenv("ANALYZE_WORKER_NAME", worker)
        run(self.shards(ShardState.QUEUED)[0].id, load_settings())

    def run_all(self, worker: str) -> None:
        while self.shards(ShardState.QUEUED):
            self.run(worker)

    def status(self, job: str) -> dict[str, Any]:
        return self.analyze.json("status", job)


@pytest.fixture
def machines(analyze_on: Analyze, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machines:
    return Machines(analyze_on, tmp_path, monkeypatch)


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
