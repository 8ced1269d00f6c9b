"""Whether workers are alive, why they died, and how they are restarted."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from sqlalchemy import select, update

from shared.database.connection import Database
from shared.jobs.hosts import WORKER_ALIVE_SECONDS
from shared.jobs.tables import Worker
from tests.conftest import Analyze
from tests.integration.small_jobs import TRAIN


def rows(analyze: Analyze) -> list[Worker]:
    database = Database(analyze.database_url)
    try:
        with database.read() as session:
            return list(session.scalars(select(Worker)))
    finally:
        database.close()


def is_dead_after_a_while(analyze: Analyze) -> bool:
    """Return whether the workers are not alive after the time that a worker may be silent. Instead of waiting for
    this time, it is subtracted from when they were seen; a later sign of life of one of them undoes this."""
    time.sleep(2)  # until the last sign of life is recorded
    database = Database(analyze.database_url)
    try:
        with database.write() as session:
            session.execute(update(Worker).values(seen_at=Worker.seen_at - WORKER_ALIVE_SECONDS))
    finally:
        database.close()
    time.sleep(3)  # a worker gives a sign of life each second, which is recorded within half a second
    return analyze.live_workers() == 0


def workers_check(analyze: Analyze) -> str:
    return next(line for line in analyze("doctor", code=None).stdout.splitlines() if " workers: " in line)


@pytest.fixture
def service(analyze: Analyze, shapes_root: Path) -> Analyze:
    """The command line with a data set."""
    analyze("dataset", "add", "shapes", "--root", shapes_root)
    return analyze


def test_a_frozen_worker_is_not_alive(service: Analyze) -> None:
    """Its supervisor goes on, and so do the messages about it; when it continues, it is alive again."""
    service.up()
    (worker,) = rows(service)
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        assert is_dead_after_a_while(service)
        assert service.started[0].poll() is None
        service("doctor", "--quiet", code=1)
        assert "none" in workers_check(service)
        assert "No worker is running for the queues" in service(*TRAIN, "--epochs", 1).stderr
    finally:
        os.kill(worker.pid, signal.SIGCONT)
    service.wait(lambda: service.live_workers() == 1)
    service("doctor", "--quiet")


@contextmanager
def breaking(service: Analyze, folder: Path, code: str) -> Iterator[None]:
    """Let a service that is started meanwhile run ``code`` as its worker processes start."""
    folder.mkdir()
    condition = "import os\nif os.environ.get('ANALYZE_WORKER_NAME'):\n"
    (folder / "sitecustomize.py").write_text(condition + "".join(f"    {line}\n" for line in code.splitlines()))
    whole = service.environment.copy()
    service.environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(folder), whole.get("PYTHONPATH"))))
    yield
    service.environment = whole


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("import os; os._exit(7)", "exited with code 7"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "was killed by SIGSEGV"),
    ],
)
def test_a_worker_that_dies_at_its_start(service: Analyze, tmp_path: Path, code: str, cause: str) -> None:
    """It is never alive, is restarted ever more slowly, and `doctor` says why it exits."""
    with breaking(service, tmp_path / "break", code):
        process = service.start("up", "--devices", "cpu")
    service.wait(lambda: service.log().count("started worker") == 3, process)
    assert f"{cause}; it is started again in 2 s" in service.log()
    assert f"{cause}; it is started again in 4 s" in service.log()
    service.wait(lambda: any(row.problem for row in rows(service)), process)
    (row,) = rows(service)
    assert row.problem
    assert row.problem.startswith(f"It {cause}, ")
    assert service.live_workers() == 0
    service("doctor", "--quiet", code=1)
    assert f": It {cause}, " in workers_check(service)
    service.stop()
    assert rows(service) == []


def test_a_worker_whose_code_cannot_be_loaded(service: Analyze, tmp_path: Path) -> None:
    """Its main process lives, but its child can't import torch: it is not alive, claims nothing, and says why."""
    code = "import sys, time\nsys.modules['torch'] = None\n"
    code += "time.sleep = lambda seconds, sleep=time.sleep: sleep(min(seconds, 1))"  # the pause after each failure
    service.environment["ANALYZE_RESEND_SECONDS"] = "1"
    with breaking(service, tmp_path / "break", code):
        process = service.up()
    job = service(*TRAIN, "--epochs", 1).stdout.strip()
    service.wait(lambda: any(row.problem for row in rows(service)), process)
    (row,) = rows(service)
    assert row.problem
    assert "It can't compute: The worker's code can't be loaded" in row.problem
    assert "times in a row" in workers_check(service)
    assert service.json("status", job)["state"] == "queued"
    assert is_dead_after_a_while(service)
    assert process.poll() is None


@pytest.mark.parametrize("victim", ["child", "worker"])
def test_the_cause_of_death_is_in_the_error(service: Analyze, victim: str) -> None:
    """A shard that kills its worker in each attempt fails after the third, and the job says what killed it."""
    service.environment["ANALYZE_LEASE_SECONDS"] = "60"  # nothing waits for a lease
    process = service.up()
    job = service(*TRAIN, "--epochs", 500, "--ignore-space").stdout.strip()
    for attempt in (1, 2, 3):
        service.wait(lambda attempt=attempt: service("logs", job).stdout.count("begins on") == attempt, process)
        service.wait(lambda: [psutil.pid_exists(row.pid) for row in rows(service)] == [True], process)
        (worker,) = rows(service)
        parent = psutil.Process(worker.pid)
        (parent.children()[0] if victim == "child" else parent).kill()
    service.wait(lambda: service.json("status", job)["state"] == "failed", process)
    error = service.json("status", job)["error"]
    assert "was killed by SIGKILL" in error
    assert error.endswith("in attempt 3 of 3.")
    assert service("logs", job).stdout.count("was killed by SIGKILL") >= 3
