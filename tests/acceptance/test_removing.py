"""Jobs and data sets of an old home are removed and updated while workers run."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.store.store import IDENTITY_FILE
from tests.acceptance.old_home import (
    CANCELLED,
    FAILED,
    SEARCHED,
    SUBMITTED,
    SWEPT,
    TRAINED,
    initial_weights,
    unpack,
)
from tests.acceptance.test_old_home import STORED, give_root
from tests.conftest import Analyze

OLD = 2 * 24 * 3600  # seconds


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Analyze]:
    """The old home, with its data set drawn again, and a worker."""
    unpack(STORED, tmp_path)
    give_root(tmp_path / "home", tmp_path / "shapes")
    found = Analyze(tmp_path / "home")
    found("ls")  # upgrades the schema
    found.up()
    yield found
    found.end()


def age(store: Path) -> None:
    """Make all files of the store look as if they had been written two days ago."""
    then = time.time() - OLD
    for file in store.rglob("*"):
        if file.is_file():
            os.utime(file, (then, then))


def files(store: Path) -> set[str]:
    return {str(file.relative_to(store)) for file in store.rglob("*") if file.is_file()}


def ended(analyze: Analyze, *jobs: int, state: str = "done") -> None:
    for job in jobs:
        analyze("watch", job, code=None)
        assert analyze.json("status", job)["state"] == state, analyze("logs", job).stdout


def test_removing_while_workers_run(home: Analyze) -> None:
    store = home.home / "store"
    weights = shutil.copy(initial_weights(home), home.home.parent / "weights.safetensors")
    kept_before = {job: home.json("results", job) for job in (TRAINED, SEARCHED)}

    # A long run occupies the worker: it is refused.
    training = int(home("submit", "train", "--dataset", "shapes", "--epochs", 5000, "--seed", 9, "--batch-size", 8,
                        "--ignore-space", "--weights", weights,
                        "--size", 64, "--fc", 16, "--maps", "8,8,8").stdout)  # fmt: skip
    home.wait(lambda: home.json("status", training)["state"] == "running", seconds=120)
    assert f"`analyze cancel {training}`" in home("rm", training, code=2).stderr

    # The run is used by the search and the sweep, which uses nothing that is used itself.
    refused = home("rm", TRAINED, code=2).stderr
    assert f"used by jobs {SEARCHED}, {SWEPT}, {CANCELLED}." in refused
    home("rm", SWEPT, FAILED, CANCELLED)
    assert {row["id"] for row in home.json("ls")} == {TRAINED, SEARCHED, training}
    assert home.json("query", f"SELECT count(*) AS n FROM occlusion_maps WHERE job_id = {SWEPT}")[0]["n"] == 0

    # Files that others use stay; the others go, but only when they are old and no attempt is older.
    before = files(store)
    home("gc", "--delete")
    of_the_run = (".pt", "incoming/")  # it replaces its state, and writes the next one
    assert files(store) >= {file for file in before if not any(part in file for part in of_the_run)}
    home("cancel", training)
    ended(home, training, state="cancelled")
    home("rm", training)
    age(store)
    home("gc", "--delete", "--yes")
    assert files(store) < before
    assert home.json("gc")["files"] == []
    for job in (TRAINED, SEARCHED):
        assert home.json("verify", job)["wrong"] == []
        assert home.json("results", job) == kept_before[job]

    # What was removed is computed again on request, under another number, with the same rows.
    swept = int(home("submit", *SUBMITTED[SWEPT]).stdout)
    assert swept > training
    ended(home, swept)
    assert len(home.json("results", swept)) == 2

    # The data set with all that was made of it.
    assert "used by jobs" in home("dataset", "rm", "shapes", code=2).stderr
    home("dataset", "rm", "shapes", "--with-jobs")
    age(store)
    home("gc", "--delete", "--yes")
    assert files(store) == {IDENTITY_FILE}
    assert home.json("ls") == home.json("dataset", "ls") == []
    assert "MB after" in home("db", "vacuum").stdout


def test_updating_while_workers_run(home: Analyze) -> None:
    root = home.home.parent / "shapes"
    rows = home.json("results", SEARCHED)
    images = sorted((root / "VOC2007" / "JPEGImages").iterdir())
    shutil.copy(images[0], images[2])
    shown = home.json("dataset", "update", "shapes")
    assert len(shown["changed"]) == 2
    earlier = shown["earlier_version"]
    assert home.json("status", SEARCHED)["dataset"] == earlier
    assert home.json("results", SEARCHED) == rows
    refused = home("submit", *SUBMITTED[SEARCHED], code=2).stderr
    assert f"--run {TRAINED}" in refused
    searched = int(home("submit", *SUBMITTED[SEARCHED], "--run", TRAINED).stdout)
    ended(home, searched)
    assert home.json("status", searched)["dataset"] == "shapes"
    # A cancelled job of before does what it was asked, on the images that it was asked for.
    home("retry", CANCELLED)
    ended(home, CANCELLED)
    assert home.json("status", CANCELLED)["dataset"] == earlier
