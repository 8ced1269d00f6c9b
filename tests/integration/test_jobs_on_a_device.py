"""All stages of all job kinds on a fake CUDA device: recorded rows, and their verification."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from sqlalchemy import select

from shared.database.connection import Database
from shared.database.networks import TrainingRun
from shared.jobs.tables import Job, JobState, Shard, ShardState
from shared.kinds.registry import parse
from shared.settings import Settings, load_settings
from shared.store.store import Store
from tests.conftest import Analyze
from tests.fake_cuda import FakeCuda
from tests.faults.content import content_of
from worker.context import JobContext
from worker.kinds import check_function
from worker.runner import run

TRAIN = (
    "submit", "train", "--dataset", "shapes", "--network", "zfnet", "--size", 64, "--fc", 16, "--maps", "16,16,16",
    "--epochs", 2, "--batch-size", 24, "--init", "he", "--learning-rate", "5e-4", "--force",
)  # fmt: skip
ANALYSES = {
    "top9": ("--layers", "2,5", "--units", "0-5", "--split", "trainval", "--bottom", "--per-class", "--shards", 2),
    "top9, the gradient": ("--layers", "3", "--units", "0-3", "--split", "trainval", "--projection", "gradient"),
    "occlusion": ("--images", 3, "--patch", 16, "--stride", 12, "--memory", 4, "--positions"),
    "occlusion, whole images": ("--images", 2, "--patch", 16, "--stride", 16, "--engine", "full", "--unit", 3),
}


class Home:
    """A home whose shards are run in this process, one after the other."""

    def __init__(self, folder: Path, shapes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.analyze = Analyze(folder / "home")
        self.analyze("dataset", "add", "shapes", "--root", shapes)
        for name, value in self.analyze.environment.items():
            if name.startswith("ANALYZE_"):
                monkeypatch.setenv(name, value)
        self.settings: Settings = load_settings()
        self.database = Database(self.analyze.database_url)

    def do(self, *words: object, device: str) -> int:
        """Submit a job and run it; returns its id."""
        job = int(self.analyze(*words).stdout)
        with FakeCuda() if device == "cuda" else nullcontext():
            while (shard := self._due()) is not None:
                run(shard, self.settings, device)
        with self.database.read() as session:
            result = session.get_one(Job, job)
            assert result.state == JobState.DONE, result.error
        return job

    def _due(self) -> int | None:
        with self.database.read() as session:
            due = select(Shard.id).where(Shard.state == ShardState.QUEUED).order_by(Shard.id).limit(1)
            return session.scalar(due)

    def check(self, job: int, device: str) -> float:
        """Recompute a sample of the job's rows and return the largest difference."""
        with self.database.read() as session:
            row = session.get_one(Job, job)
            kind, specification = row.kind, parse(row.kind, row.specification)
        check = check_function(kind)
        with FakeCuda() if device == "cuda" else nullcontext():
            context = JobContext(job, specification, self.database, Store(self.settings.resolved_store), device)
            result = check(context, random.Random(0), 8)
        assert result.rows
        assert result.wrong == []
        return float(result.largest_difference)


@pytest.fixture
def home(tmp_path: Path, shapes_root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    threads = torch.get_num_threads()
    made = Home(tmp_path, shapes_root, monkeypatch)
    yield made
    made.database.close()
    torch.set_num_threads(threads)


def test_jobs_on_the_device_equal_those_on_the_cpu(home: Home) -> None:
    """Searches are bitwise equal, since the CPU computes for the fake device, too.

    Sweeps are equal up to rounding: on a CPU they multiply only what changes, and use oneDNN.
    """
    training = home.do(*TRAIN, device="cuda")
    with home.database.read() as session:
        environment = session.get_one(TrainingRun, training).environment or {}
    assert environment["device"] == "fake"
    assert environment["precision"] != "float32"  # float32 is what the CPU would choose
    assert [home.check(training, device) for device in ("cuda", "cpu")] == [0, 0]
    for name, options in ANALYSES.items():
        kind, _, _ = name.partition(",")
        words = ("submit", kind, "--dataset", "shapes", "--run", training, *options, "--force")
        on_device, on_cpu = (home.do(*words, device=device) for device in ("cuda", "cpu"))
        contents = [content_of(home.database, job) for job in (on_device, on_cpu)]
        if kind == "occlusion":
            counts = [{table: len(rows) for table, rows in found.items()} for found in contents]
            assert counts[0] == counts[1], name
            home.check(on_device, "cpu")
            home.check(on_cpu, "cuda")
        else:
            assert contents[0] == contents[1], name
        home.check(on_device, "cuda")
