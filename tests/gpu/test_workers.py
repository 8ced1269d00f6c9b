"""The service on a GPU: worker processes, jobs of every kind, killed workers and broken CUDA contexts.

Most tests also run on the CPU with smaller jobs, so that they are tested without a GPU.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from producer.datasets.shapes import generate
from producer.service.devices import VISIBLE, find_devices
from shared.database.connection import Database
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Worker
from tests import forked
from tests.conftest import Analyze
from tests.faults.content import content_of
from tests.faults.harness import FIRST_RUN, Home

CLOSE = 1e-4  # relative to a value, or to the largest one of its layer
BATCH = 16
NETWORK = ("--network", "zfnet", "--size", 64, "--fc", 16, "--maps", "16,16,16", "--batch-size", BATCH)
SEARCH = ("--layers", "2,5", "--units", "0-4", "--split", "trainval", "--bottom", "--per-class")


@dataclass(frozen=True)
class Amount:
    """Sizes of the jobs: at least five batches for a GPU, less for the CPU."""

    images: int  # generated images with two objects each; half of them are for training
    swept: int
    stride: int


AMOUNTS = {"cpu": Amount(40, 2, 32), "cuda": Amount(160, 6, 12)}

NEEDS_DEVICE = (
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
)


def on_both(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test with the service on the CPU and on a GPU."""
    devices = ["cpu", pytest.param("cuda", marks=NEEDS_DEVICE)]
    return pytest.mark.parametrize("service", devices, indirect=True)(test)


def on_cuda(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test with the service on a GPU."""
    for mark in NEEDS_DEVICE:
        test = mark(test)
    return test


@dataclass
class Service:
    """A home with one worker, and the jobs that it has run."""

    home: Home
    device: str
    done: dict[tuple[str, int, bool], int] = field(default_factory=dict)

    def words(self, kind: str, shards: int = 1) -> list[object]:
        """Return the command that submits a job of a kind, with ``--force``."""
        amount = AMOUNTS[self.device]
        options: dict[str, tuple[object, ...]] = {
            "train": (*NETWORK, "--epochs", 3, "--init", "he", "--learning-rate", "5e-4"),
            "top9": ("--run", FIRST_RUN, *SEARCH, "--shards", shards),
            "occlusion": (
                *("--run", FIRST_RUN, "--images", amount.swept, "--patch", 32, "--stride", amount.stride),
                *("--memory", 16, "--positions", "--shards", shards),
            ),
        }
        return ["submit", kind, "--dataset", "shapes", *options[kind], "--force"]

    def job(self, kind: str, shards: int = 1, again: bool = False) -> int:
        """Return a finished job of a kind, which is run only once for all tests unless ``again``."""
        key = (kind, shards, again)
        if key not in self.done:
            job = int(self.home(*self.words(kind, shards)).stdout)
            self.wait(job)
            self.done[key] = job
        return self.done[key]

    def wait(self, job: int) -> None:
        self.home.wait(lambda: self.home.ended(job))
        assert self.home.job(job).state == "done", f"{self.home('logs', job).stdout}\n{self.home.log()}"

    def content(self, job: int) -> dict[str, list[str]]:
        return content_of(self.home.database, job)

    @property
    def worker(self) -> Worker:
        (worker,) = live(self.home)
        return worker


def live(analyze: Analyze) -> list[Worker]:
    database = Database(analyze.database_url)
    workers = Ledger(database).live_workers()
    database.close()
    return list(workers)


@pytest.fixture(scope="module")
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service on a device that has trained a network."""
    folder = tmp_path_factory.mktemp("service")
    generate(folder / "shapes", images=AMOUNTS[request.param].images)
    home = Home(folder / "home")
    home("dataset", "add", "shapes", "--root", folder / "shapes")
    home.environment[forked.DISABLED] = "1"  # what the processes have loaded is looked at
    process = home.start("up", "--devices", "cpu" if request.param == "cpu" else "all")
    del home.environment[forked.DISABLED]
    home.wait(lambda: len(live(home)) > 0, process)
    actual = Service(home, request.param)
    try:
        assert actual.job("train") == FIRST_RUN
        yield actual
    finally:
        home.end()
        home.database.close()


@pytest.fixture(scope="module")
def on_the_cpu(service: Service, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The rows of the same jobs with the same network, run by a single process on the CPU."""
    copy = Analyze(tmp_path_factory.mktemp("cpu") / "home")
    copy.home.mkdir()
    service.home("db", "backup", copy.home / "unitscope.sqlite3")
    shutil.copytree(service.home.store, copy.home / "store")
    jobs = {kind: copy(*service.words(kind)).stdout.strip() for kind in ("top9", "occlusion")}
    alone = [sys.executable, "-m", "tests.faults.undisturbed"]
    environment = copy.environment | {"ANALYZE_DEVICE": "cpu"}
    subprocess.run(alone, env=environment, check=True, capture_output=True, timeout=240)
    return {kind: rows_of(copy, kind, job) for kind, job in jobs.items()}


def rows_of(analyze: Analyze, kind: str, job: object) -> dict[str, list[dict[str, Any]]]:
    """Return all rows of a job by the option of ``results`` that shows them."""
    options = {"top9": ("", "--bottom", "--per-class", "--statistics"), "occlusion": ("", "--positions")}[kind]
    return {option: analyze.json("results", job, *filter(None, [option])) for option in options}


# --- processes ---


def loaded(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


@on_both
def test_only_the_child_of_a_worker_uses_the_device(service: Service) -> None:
    worker = service.worker
    variables = psutil.Process(worker.pid).environ()
    (child,) = psutil.Process(worker.pid).children()
    assert "libtorch" in loaded(child.pid)
    for word in ("libtorch", "libc10", "libcuda", "libcudart"):
        assert word not in loaded(worker.pid)
    query = f"SELECT environment FROM training_runs WHERE job_id = {FIRST_RUN}"
    assert json.loads(service.home.json("query", query)[0]["environment"])["device_kind"] == service.device
    if service.device == "cpu":
        assert (worker.device, variables[VISIBLE]) == ("cpu", "")
        return
    assert worker.device == f"cuda:0 {torch.cuda.get_device_name(0)}"
    assert f"({worker.device}: " in service.home("doctor").stdout
    assert variables["ANALYZE_DEVICE"] == "cuda:0"
    assert variables[VISIBLE] == find_devices().devices[0].visible
    assert "libcuda.so" in loaded(child.pid)


@on_cuda
def test_cuda_visible_devices_is_respected(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Three services run at the same time, with an index, the prefix of a UUID, and no device."""
    generate(tmp_path / "shapes", images=4)
    entries = {
        "index": os.environ.get(VISIBLE, "0").split(",")[0],
        "uuid": f"GPU-{torch.cuda.get_device_properties(0).uuid}"[:16],
        "none": "",
    }
    services = {name: Analyze(tmp_path / name) for name in entries}
    for name, analyze in services.items():
        request.addfinalizer(analyze.stop)
        analyze.environment[VISIBLE] = entries[name]
        analyze("dataset", "add", "shapes", "--root", tmp_path / "shapes")
        analyze("submit", "train", "--dataset", "shapes", *NETWORK, "--epochs", 1)
        analyze.start("up", "--devices", "all")
    for name, analyze in services.items():
        analyze("watch", 1)
        (worker,) = live(analyze)
        assert psutil.Process(worker.pid).environ()[VISIBLE] == entries[name]
        environment = json.loads(analyze.json("query", "SELECT environment FROM training_runs")[0]["environment"])
        assert environment["device_kind"] == ("cuda" if entries[name] else "cpu")
        said = f"No CUDA device is visible: {VISIBLE} is ''. The CPU is used." in analyze.log()
        assert said == (name == "none")


@on_cuda
def test_a_missing_device_is_named_with_the_visible_ones(analyze: Analyze) -> None:
    count = len(find_devices().devices)
    said = analyze("up", "--devices", f"cuda:0,cuda:{count}", code=2).stderr
    assert f"there is no cuda:{count}. Visible: cuda:0 {torch.cuda.get_device_name(0)}" in said


# --- rows ---


@on_both
def test_a_search_job_has_the_same_rows_as_on_the_cpu(service: Service, on_the_cpu: dict[str, Any]) -> None:
    actual = rows_of(service.home, "top9", service.job("top9"))
    for option, expected in on_the_cpu["top9"].items():
        assert expected
        if option == "--statistics":
            compare_statistics(actual[option], expected)
        else:
            key = ("layer", "unit", "class_name") if option == "--per-class" else ("layer", "unit")
            compare_rankings(actual[option], expected, key)


def compare_rankings(actual: list[dict[str, Any]], expected: list[dict[str, Any]], key: tuple[str, ...]) -> None:
    """Check that each ranking, identified by ``key``, has the same images in the same order, except for ties."""

    def named(row: dict[str, Any], *more: str) -> tuple[Any, ...]:
        return tuple(row[name] for name in (*key, *more))

    assert [named(row, "rank") for row in actual] == [named(row, "rank") for row in expected]
    activations = {named(row, "image_id"): row["activation"] for row in expected}
    largest = {row["layer"]: 0.0 for row in expected}
    for row in expected:
        largest[row["layer"]] = max(largest[row["layer"]], abs(row["activation"]))
    moved = 0
    for row, other in zip(actual, expected, strict=True):
        near = {"rel": CLOSE, "abs": 1e-6 * largest[row["layer"]]}
        assert row["activation"] == pytest.approx(other["activation"], **near)
        if row["image_id"] == other["image_id"]:
            moved += (row["row"], row["col"]) != (other["row"], other["col"])
        else:  # the image has another rank, or ties with the last one
            there = activations.get(named(row, "image_id"), other["activation"])
            assert row["activation"] == pytest.approx(there, **near)
    assert moved <= len(expected) // 50  # maxima that occur twice in a map


def compare_statistics(actual: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    for row, other in zip(actual, expected, strict=True):
        assert [row[name] for name in ("layer", "unit", "images")] == [
            other[name] for name in ("layer", "unit", "images")
        ]
        scale = max(abs(other["minimum"]), abs(other["maximum"]))
        for name in ("mean", "minimum", "maximum", "q50", "q90", "q99", "q999"):
            assert row[name] == pytest.approx(other[name], rel=CLOSE, abs=CLOSE * scale)


@on_both
def test_a_sweep_job_has_the_same_rows_as_on_the_cpu(service: Service, on_the_cpu: dict[str, Any]) -> None:
    actual = rows_of(service.home, "occlusion", service.job("occlusion"))
    clear = {row["image_id"]: row["clear_activation"] for row in on_the_cpu["occlusion"][""]}
    for option, expected in on_the_cpu["occlusion"].items():
        assert expected
        for row, other in zip(actual[option], expected, strict=True):
            for name in (
                "image_id",
                "image_path",
                "class_name",
                *(("layer", "unit") if option == "" else ("row", "col")),
            ):
                assert row[name] == other[name]
            for name, value in other.items():
                if name.endswith("activation"):
                    assert row[name] == pytest.approx(value, rel=CLOSE, abs=CLOSE * clear[row["image_id"]])
                elif name.endswith("probability") and value is not None:
                    assert row[name] == pytest.approx(value, abs=CLOSE)


@pytest.mark.parametrize(
    ("service", "kind", "shards"),
    [
        ("cpu", "top9", 5),
        ("cpu", "occlusion", 5),
        *(
            pytest.param("cuda", kind, shards, marks=NEEDS_DEVICE)
            for kind in ("top9", "occlusion")
            for shards in (1, 5)
        ),
    ],
    indirect=["service"],
)
def test_repeated_jobs_are_bitwise_equal(service: Service, kind: str, shards: int) -> None:
    """Rows and pictures are compared, with one and with five shards."""
    once = service.content(service.job(kind))
    assert len(once) > 1
    assert service.content(service.job(kind, shards, again=True)) == once


# --- killed workers and broken CUDA contexts ---


@pytest.mark.parametrize(
    ("service", "kind", "stage", "fault"),
    [
        pytest.param("cuda", "top9", "search", "kill child", marks=NEEDS_DEVICE),
        pytest.param("cuda", "occlusion", "sweep", "cuda error", marks=NEEDS_DEVICE),
    ],
    indirect=["service"],
)
def test_a_fault_does_not_change_the_rows(service: Service, kind: str, stage: str, fault: str) -> None:
    """A worker's child is killed, or its CUDA context is broken, in the middle of a shard."""
    expected = service.content(service.job(kind))
    injection = service.home.plan("computing", fault, kind=kind, stage=stage)
    job = int(service.home(*service.words(kind, 5)).stdout)
    broken = injection.reached()
    service.wait(job)
    assert not service.home.is_ours(broken["pid"])
    assert service.content(job) == expected
    assert sum(shard.attempt - 1 for shard in service.home.shards(job)) == 1


@on_both
def test_a_training_run_resumes_after_a_kill(service: Service) -> None:
    """It resumes from its last checkpoint: bitwise on the CPU; a GPU may sum gradients in another order."""
    per_epoch = 2 * -(-AMOUNTS[service.device].images // BATCH)  # training and validation images
    injection = service.home.plan("computing", "kill child", kind="train", skip=per_epoch + 1)
    job = int(service.home(*service.words("train")).stdout)
    injection.reached()
    service.wait(job)
    assert "resumed after epoch 1" in service.home("logs", job).stdout
    if service.device == "cpu":
        assert service.content(job) == service.content(FIRST_RUN)
        return
    epochs, others = (service.home.json("results", run) for run in (job, FIRST_RUN))
    for row, other in zip(epochs, others, strict=True):
        assert (row["epoch"], row["phase"], row["images"]) == (other["epoch"], other["phase"], other["images"])
        assert row["loss"] == pytest.approx(other["loss"], rel=0.05)
