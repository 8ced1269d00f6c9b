"""Training runs through the queue: recorded, resumed with the same bits, cancelled, used by a search."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import func, select

from shared.database import Database
from shared.models import Epoch
from tests.conftest import Analyze

EPOCHS = 8


def submit(analyze: Analyze, *options: object, code: int = 0) -> str:
    return analyze(
        "submit", "train", "--dataset", "shapes", "--size", 64, "--fc", 16, "--init", "he", "--batch-size", 4,
        "--learning-rate", "5e-4", "--epochs", EPOCHS, *options, code=code,
    ).stdout.strip()  # fmt: skip


def outcome(analyze: Analyze, job: str) -> tuple[Any, ...]:
    """What must not depend on interruptions: every epoch's figures, and the weights."""
    epochs = analyze.json(
        "query",
        f"SELECT epoch, phase, loss, accuracy, learning_rate, images FROM epochs WHERE job_id = {job} "
        "ORDER BY epoch, phase",
    )
    weights = analyze.json(
        "query", f"SELECT kind, epoch, sha256 FROM checkpoints WHERE job_id = {job} ORDER BY kind"
    )
    return epochs, weights


def epochs_done(database: Database, job: str) -> int:
    """Asked of the database itself: a command takes longer to start than an epoch takes."""
    with database.read() as session:
        query = select(func.count()).where(Epoch.job_id == int(job), Epoch.phase == "val")
        return session.scalar(query) or 0


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, shapes_root: Path) -> tuple[Any, ...]:
    analyze = Analyze(tmp_path_factory.mktemp("undisturbed"))
    try:
        analyze("dataset", "add", "shapes", "--root", shapes_root)
        analyze.up()
        return outcome(analyze, submit(analyze, "--wait"))
    finally:
        analyze.stop()


def test_a_killed_run_goes_on_from_its_checkpoint_and_ends_with_the_same_bits(
    analyze_on: Analyze, shapes_root: Path, undisturbed: tuple[Any, ...]
) -> None:
    analyze = analyze_on
    analyze("dataset", "add", "shapes", "--root", shapes_root)
    analyze.up()
    job = submit(analyze)
    parent = psutil.Process(analyze.json("query", "SELECT pid FROM workers")[0]["pid"])
    database = Database(analyze.database_url)
    for epochs in (1, 3):
        analyze.wait(lambda epochs=epochs: epochs_done(database, job) >= epochs)
        os.kill(parent.children()[0].pid, signal.SIGKILL)
    database.close()
    analyze("watch", job)
    assert outcome(analyze, job) == undisturbed
    assert "goes on behind epoch" in analyze("logs", job).stdout
    assert analyze.json("query", f"SELECT attempt FROM shards WHERE job_id = {job}") == [{"attempt": 3}]


def test_a_cancelled_run_keeps_its_checkpoint_and_goes_on_at_retry(
    analyze: Analyze, shapes_root: Path, undisturbed: tuple[Any, ...]
) -> None:
    analyze("dataset", "add", "shapes", "--root", shapes_root)
    analyze.up()
    job = submit(analyze)
    database = Database(analyze.database_url)
    analyze.wait(lambda: epochs_done(database, job) >= 1)
    database.close()
    analyze("cancel", job)
    analyze("watch", job, code=1)
    assert analyze.json("status", job)["state"] == "cancelled"
    state = analyze.json("query", f"SELECT epoch FROM checkpoints WHERE job_id = {job} AND kind = 'state'")
    assert state[0]["epoch"] >= 1
    analyze("retry", job, "--wait")
    assert outcome(analyze, job) == undisturbed


def test_what_a_run_leaves(analyze: Analyze, shapes_root: Path) -> None:
    analyze("dataset", "add", "shapes", "--root", shapes_root)
    analyze.up()
    job = submit(analyze, "--wait")
    epochs = analyze.json("results", job)
    assert [(row["epoch"], row["phase"]) for row in epochs] == [
        (epoch, phase) for epoch in range(1, EPOCHS + 1) for phase in ("train", "val")
    ]
    assert epochs[-2]["loss"] < epochs[0]["loss"]
    run = analyze.json("query", f"SELECT * FROM training_runs WHERE job_id = {job}")[0]
    best = max(row["accuracy"] for row in epochs if row["phase"] == "val")
    assert run["best_accuracy"] == best
    store = analyze.home / "store"
    assert (store / run["curves_path"]).is_file()
    kinds = {c["kind"]: c for c in analyze.json("query", f"SELECT * FROM checkpoints WHERE job_id = {job}")}
    assert set(kinds) == {"best", "last"}
    assert all((store / c["path"]).stat().st_size == c["bytes"] for c in kinds.values())
    # Nothing else is kept: the states of all epochs are gone.
    assert not list(store.glob("*/*.pt"))
    assert not list((store / "incoming").iterdir())
    # The run is what a search takes when nothing else is said.
    search = analyze(
        "submit", "--layer", "conv1", "--units", "0-3", "--dataset", "shapes", "--wait"
    ).stdout.strip()
    specification = analyze.json("status", search)["specification"]
    assert specification["training_job_id"] == int(job)
    assert specification["weights_sha256"] == kinds["best"]["sha256"]
    # The same run again is the run that exists.
    assert submit(analyze) == job
