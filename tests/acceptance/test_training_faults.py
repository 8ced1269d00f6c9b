"""Training runs that are killed or run out of disk space while writing a checkpoint: the previous one stays
valid."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from shared.database.connection import Database
from tests.acceptance.conftest import epochs_done, outcome
from tests.conftest import Analyze

EPOCHS = 4


def submit(analyze: Analyze, *options: object) -> str:
    """Submit a training run whose state of 44 MB takes a while to write."""
    return analyze(
        "submit", "train", "--dataset", "shapes", "--size", 64, "--fc", 128, "--init", "he", "--batch-size", 8,
        "--learning-rate", "5e-4", "--epochs", EPOCHS, "--force", *options,
    ).stdout.strip()  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, shapes_root: Path) -> Iterator[tuple[Analyze, Any]]:
    """A home with a worker, and the outcome of an undisturbed run."""
    analyze = Analyze(tmp_path_factory.mktemp("faults"))
    try:
        analyze("dataset", "add", "shapes", "--root", shapes_root)
        analyze.up()
        yield analyze, outcome(analyze, submit(analyze, "--wait"))
    finally:
        analyze.end()


@pytest.fixture
def begun(home: tuple[Analyze, Any]) -> tuple[str, psutil.Process]:
    """A run that has finished an epoch, and its worker."""
    analyze, _ = home
    worker = psutil.Process(analyze.json("query", "SELECT pid FROM workers")[0]["pid"])
    database = Database(analyze.database_url)
    job = submit(analyze)
    analyze.wait(lambda: epochs_done(database, job) >= 1)
    database.close()
    return job, worker


def incoming(analyze: Analyze) -> set[Path]:
    """Return the unfinished files in the store."""
    return set((analyze.home / "store" / "incoming").iterdir())


def kept(analyze: Analyze, job: str) -> dict[str, Any]:
    """Check that all files named by rows exist with the right content, and that no other states exist.

    Returns the checkpoint row of the run's state.
    """
    store = analyze.home / "store"
    checkpoints = analyze.json("query", "SELECT * FROM checkpoints")
    for row in checkpoints + analyze.json("query", "SELECT * FROM artifacts"):
        content = (store / row["path"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (row["bytes"], row["sha256"])
    states = {row["job_id"]: row for row in checkpoints if row["kind"] == "state"}
    assert {path.name for path in store.glob("*/*.pt")} == {Path(row["path"]).name for row in states.values()}
    return states[int(job)]


def kill_while_it_writes(analyze: Analyze, worker: psutil.Process, *, state: bool) -> int:
    """Kill the worker's child while it writes a state or weights; returns the size of the unfinished file."""
    before = incoming(analyze)
    analyze.wait(lambda: len(worker.children()) == 1)
    child = worker.children()[0]
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for part in incoming(analyze) - before:
            with suppress(FileNotFoundError), part.open("rb") as file:
                begins = file.read(2)
                if begins and (begins == b"PK") == state:  # a state is a zip file
                    child.kill()
                    child.wait()
                    return part.stat().st_size  # the file exists, so that it was not renamed yet
        time.sleep(0.001)
    raise AssertionError(f"no checkpoint was written\n{analyze.log()}")


def test_a_run_killed_while_it_writes_a_checkpoint_ends_with_equal_results(
    home: tuple[Analyze, Any], begun: tuple[str, psutil.Process]
) -> None:
    (analyze, undisturbed), (job, worker) = home, begun
    part = kill_while_it_writes(analyze, worker, state=True)
    kill_while_it_writes(
        analyze, worker, state=False
    )  # the new state is complete by then, but no row refers to it
    analyze("watch", job)
    assert part < kept(analyze, job)["bytes"]
    assert outcome(analyze, job) == undisturbed
    assert analyze("logs", job).stdout.count("resumed after epoch") == 2


@pytest.mark.skipif(not hasattr(psutil, "RLIMIT_FSIZE"), reason="limits of another process: Linux only")
def test_a_full_disk_keeps_the_previous_checkpoint_and_a_retry_resumes_from_it(
    home: tuple[Analyze, Any], begun: tuple[str, psutil.Process]
) -> None:
    """A limit on the file size simulates the full disk; it does not affect the database, which is far smaller."""
    (analyze, undisturbed), (job, worker) = home, begun
    child, left = worker.children()[0], incoming(analyze)
    free = child.rlimit(psutil.RLIMIT_FSIZE)
    child.rlimit(psutil.RLIMIT_FSIZE, (20_000_000, free[1]))  # less than half a state
    analyze("watch", job, code=1)
    child.rlimit(psutil.RLIMIT_FSIZE, free)
    status = analyze.json("status", job)
    assert status["state"] == "failed"
    assert status["error"].startswith("No space left in the artifact store")
    state = kept(analyze, job)
    assert 1 <= state["epoch"] < EPOCHS
    assert incoming(analyze) <= left
    analyze("retry", job, "--wait")
    assert f"resumed after epoch {state['epoch']}" in analyze("logs", job).stdout
    assert outcome(analyze, job) == undisturbed
    assert kept(analyze, job)["epoch"] == EPOCHS
