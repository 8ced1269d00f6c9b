"""A home whose shards one process runs in the names of workers of different machines."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
from sqlalchemy import select

from producer.datasets.shapes import generate
from producer.operations.left_out import check_images
from shared.database.connection import Database
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Shard, ShardState
from shared.kinds.specification import QUEUES
from shared.settings import load_settings
from tests.conftest import Analyze
from unitscope.networks.build import build
from unitscope.networks.initialization import initialize
from worker.runner import run

HERE, SAME, ELSEWHERE, FAR = (f"{host}-cpu-{number:06x}" for number, host in enumerate(("a-1", "a-1", "b", "c")))


MAPS = (8, 8, 8)  # of the last three layers: their rows tell as much as those of hundreds

OPTIONS: dict[str, tuple[object, ...]] = {
    "top9": ("--layer", "1", "--units", "0-2", "--split", "trainval"),
    # The first object of each of the first three files: drawing a figure takes half a second.
    "occlusion": (
        *(word for number in range(1, 7, 2) for word in ("--image-id", number)),
        *("--patch", 32, "--stride", 32, "--positions"),
    ),
    "train": ("--epochs", 2, "--batch-size", 8, "--init", "he"),
}


class Machines:
    """A home with a data set. This process runs the shards of its jobs in the names of different workers."""

    def __init__(self, analyze: Analyze, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.analyze, self.root, self.away = analyze, folder / "shapes", folder / "away"
        generate(self.root, images=24)
        analyze("dataset", "add", "shapes", "--root", self.root)
        for name, value in analyze.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("ANALYZE_CACHE_GB", "0")  # cached images are not read
        monkeypatch.setattr("worker.runner.RETRY_SECONDS", 0.01)
        self.monkeypatch = monkeypatch
        self.database = Database(analyze.database_url)
        self.ledger = Ledger(self.database)
        self.weights = folder / "weights.safetensors"
        model = build("zfnet", 20, 64, fc=8, maps=MAPS)
        initialize(model, "he")
        safetensors.torch.save_file(model.state_dict(), self.weights)

    def alive(self, *workers: str) -> None:
        for worker in workers:
            self.ledger.worker_seen(worker, "cpu", QUEUES, 1)

    def submit(self, kind: str = "top9", *options: object) -> str:
        """Submit a job of two shards of images, or a training run, and return its id."""
        return self.analyze(*self.submission(kind, *options), "--force").stdout.strip()

    def submission(self, kind: str, *options: object) -> tuple[object, ...]:
        """Return the command of ``submit`` that returns a job which exists."""
        options = (*OPTIONS[kind], *options)
        if kind != "train":
            options = ("--weights", self.weights, "--shards", 2, *options)
        network = ("--network", "zfnet", "--size", 64, "--fc", 8, "--maps", ",".join(map(str, MAPS)))
        return "submit", kind, "--dataset", "shapes", *network, *options

    def shards(self, *states: str) -> list[Shard]:
        with self.database.read() as session:
            query = select(Shard).where(Shard.state.in_(states)).order_by(Shard.id)
            return list(session.scalars(query))

    def run(self, worker: str, shard: Shard | None = None) -> None:
        """Run a shard, by default the first one that is queued."""
        self.monkeypatch.setenv("ANALYZE_WORKER_NAME", worker)
        run((shard or self.shards(ShardState.QUEUED)[0]).id, load_settings())

    def run_all(self, worker: str) -> None:
        while self.shards(ShardState.QUEUED):
            self.run(worker)

    def status(self, job: str) -> dict[str, Any]:
        return self.analyze.json("status", job)

    def images_check(self) -> dict[str, Any]:
        """Return what `analyze doctor` says of images, without its other checks, which take seconds."""
        return asdict(check_images(self.database))

    def images_check_of_doctor(self) -> dict[str, Any]:
        """Return the check of images by `analyze doctor`."""
        checks = json.loads(self.analyze("doctor", "--json", code=None).stdout)["checks"]
        found: dict[str, Any] = next(check for check in checks if check["name"] == "images")
        return found
