"""Worker processes: visible devices, and loaded libraries."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from producer.datasets.shapes import generate
from shared.database.connection import Database
from shared.jobs.broker import TASK, broker_for
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Worker
from shared.settings import load_settings
from tests import forked
from tests.conftest import Analyze
from tests.integration.small_jobs import TRAIN

LISTING = """\
GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-0a11)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-1b22)
  MIG 3g.20gb     Device  0: (UUID: MIG-3c33)
"""


@pytest.fixture
def machine(analyze: Analyze, tmp_path: Path) -> Iterator[Analyze]:
    """The command line with a fake nvidia-smi that lists two GPUs, which CUDA does not find."""
    (tmp_path / "bin").mkdir()
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\ncat <<'END'\n{LISTING}END\n")
    tool.chmod(0o755)
    analyze.environment["PATH"] = f"{tool.parent}:{os.environ['PATH']}"
    analyze.environment.pop("CUDA_VISIBLE_DEVICES", None)
    yield analyze
    analyze.stop()


def live(analyze: Analyze) -> list[Worker]:
    database = Database(analyze.database_url)
    workers = Ledger(database).live_workers()
    database.close()
    return list(workers)


def up(analyze: Analyze, *words: str, count: int) -> list[Worker]:
    """Start ``analyze up`` and wait for ``count`` workers."""
    process = analyze.start("up", *words)
    analyze.wait(lambda: analyze.live_workers() == count, process)
    return live(analyze)


VARIABLES = ("ANALYZE_DEVICE", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUBLAS_WORKSPACE_CONFIG")


def variables(worker: Worker) -> list[str | None]:
    found = psutil.Process(worker.pid).environ()
    return [found.get(name) for name in VARIABLES]


@pytest.mark.parametrize(
    "given", [{}, {"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "ACTIVE"}], ids=["default", "count", "policy"]
)
def test_threads_that_wait_leave_their_core_to_others(analyze: Analyze, given: dict[str, str]) -> None:
    """Unless the user says how they wait."""
    analyze.environment |= given
    (worker,) = up(analyze, "--devices", "cpu", count=1)
    found = psutil.Process(worker.pid).environ()
    expected = given or {"GOMP_SPINCOUNT": "10000"}
    assert {name: found[name] for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY") if name in found} == expected


@pytest.mark.parametrize(
    ("visible", "seen"),
    [
        (None, {"cuda:0 NVIDIA H100 80GB HBM3": "0", "cuda:1 NVIDIA A100-SXM4-40GB MIG 3g.20gb": "MIG-3c33"}),
        (
            "MIG-3c , GPU-0a11",
            {"cuda:0 NVIDIA A100-SXM4-40GB MIG 3g.20gb": "MIG-3c", "cuda:1 NVIDIA H100 80GB HBM3": "GPU-0a11"},
        ),
    ],
)
def test_up_starts_a_worker_per_visible_device(
    machine: Analyze, visible: str | None, seen: dict[str, str]
) -> None:
    if visible is not None:
        machine.environment["CUDA_VISIBLE_DEVICES"] = visible
    workers = up(machine, "--devices", "all", count=len(seen))
    assert {worker.device: variables(worker) for worker in workers} == {
        device: ["cuda:0", entry, "PCI_BUS_ID", ":4096:8"] for device, entry in seen.items()
    }
    said = machine("doctor").stdout
    for device in seen:
        assert f"({device}: " in said  # a running worker
        assert f"devices: {', '.join(seen)}" in said  # the devices that would be used


@pytest.mark.parametrize(("visible", "why"), [("", "is ''"), ("-1", "is '-1'"), ("7", "'7' names no device")])
def test_up_uses_the_cpu_if_no_device_is_visible(machine: Analyze, visible: str, why: str) -> None:
    machine.environment["CUDA_VISIBLE_DEVICES"] = visible
    (worker,) = up(machine, "--devices", "all", count=1)
    assert (worker.device, *variables(worker)[:2]) == ("cpu", "cpu", "")
    assert "No CUDA device is visible: CUDA_VISIBLE_DEVICES" in machine.log()
    assert f"{why}. The CPU is used." in machine.log()


def test_a_missing_device_is_refused(machine: Analyze) -> None:
    """The command fails before it starts a worker or Redis."""
    said = machine("worker", "--devices", "cuda:2", code=2).stderr
    assert "there is no cuda:2. Visible: cuda:0 NVIDIA H100 80GB HBM3, cuda:1 NVIDIA A100-SXM4-40GB MIG" in said
    machine.environment["CUDA_VISIBLE_DEVICES"] = "1"
    assert "there is no cuda:1. Visible: cuda:0 NVIDIA A100" in machine("up", "--devices", "cuda:1", code=2).stderr
    machine.environment["CUDA_VISIBLE_DEVICES"] = ""
    said = machine("up", "--devices", "cuda:0", code=2).stderr
    assert "No CUDA device is visible (CUDA_VISIBLE_DEVICES is '')." in said
    machine.environment["PATH"] = str(Path(shutil.which("env") or "").parent / "nowhere")
    assert "(nvidia-smi was not found)" in machine("up", "--devices", "cuda:0", code=2).stderr


def test_a_worker_whose_device_is_missing_claims_no_shard(machine: Analyze, tmp_path: Path) -> None:
    """The shard stays queued, without an attempt, until a worker with a working device starts."""
    generate(tmp_path / "shapes", images=4)
    machine.environment["ANALYZE_RESEND_SECONDS"] = "1"
    machine.environment["CUDA_VISIBLE_DEVICES"] = "GPU-0a"  # not a CUDA device, whatever this machine has
    machine("dataset", "add", "shapes", "--root", tmp_path / "shapes")
    (worker,) = up(machine, "--devices", "cuda:0", count=1)
    job = machine(*TRAIN, "--epochs", 1).stdout.strip()
    machine.wait(lambda: machine.log().count("worker process is restarted") >= 2)
    status = machine.json("status", job)
    assert (status["state"], status["stages"][0]["shards"]) == ("queued", {"queued": 1})
    assert "begins" not in machine("logs", job).stdout
    assert psutil.pid_exists(worker.pid)
    machine.start("worker", "--devices", "cpu")
    machine("watch", job)
    assert machine("logs", job).stdout.count("begins on") == 1


def loaded(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="there is no /proc")
def test_only_the_child_loads_torch(analyze: Analyze) -> None:
    """It does when it starts, so that the first message need not wait. The parent must not initialize CUDA before
    the fork."""
    analyze.environment[forked.DISABLED] = "1"
    supervisor = analyze.up()
    (worker,) = live(analyze)
    (child,) = psutil.Process(worker.pid).children()
    analyze.wait(lambda: "libtorch" in loaded(child.pid), supervisor)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in analyze.environment.items():
            patch.setenv(name, value)
        broker = broker_for(load_settings())
    broker.celery.send_task(TASK, args=[10**6], queue="analysis", ignore_result=True)
    analyze.wait(lambda: "cannot be claimed" in analyze.log(), supervisor)
    assert [process.pid for process in psutil.Process(worker.pid).children()] == [child.pid]
    for pid in (worker.pid, supervisor.pid):
        assert not [
            word for word in ("libtorch", "libc10", "libcuda", "libcudart", "libnvidia") if word in loaded(pid)
        ]
