"""A home created by an earlier version can be read, verified, exported and continued; see ``old_home``."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from producer.datasets.shapes import generate
from tests import programs
from tests.acceptance.old_home import (
    CANCELLED,
    COMMANDS,
    EXPORTED,
    FAILED,
    IMAGES,
    OUTPUTS,
    ROOT,
    SEARCHED,
    SHAPES,
    SUBMITTED,
    SWEPT,
    TRAINED,
    initial_weights,
    unpack,
)
from tests.conftest import Analyze

STORED = Path(__file__).parents[1] / "data" / "home-0005"
SAYS: dict[str, Any] = json.loads((STORED / OUTPUTS).read_text())
DONE = (TRAINED, SEARCHED, SWEPT)
RESULTS = [command for command in COMMANDS if command[0] == "results"]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the unpacked home, its export, and the stored outputs."""
    folder = tmp_path_factory.mktemp("old")
    unpack(STORED, folder)
    return folder


@pytest.fixture(scope="module")
def old(stored: Path, tmp_path_factory: pytest.TempPathFactory) -> Analyze:
    """The home with its data set generated again. Tests must not modify it."""
    folder = tmp_path_factory.mktemp("home")
    shutil.copytree(stored / "home", folder / "home")
    give_root(folder / "home", folder / "shapes")
    return Analyze(folder / "home")


def give_root(home: Path, root: Path) -> None:
    """Generate the data set of a home again, as ``root``."""
    generate(root, images=IMAGES)
    database = sqlite3.connect(home / "unitscope.sqlite3")
    with database:
        database.execute("UPDATE datasets SET root = ?", [str(root)])
        for (path,) in database.execute("SELECT DISTINCT path FROM images").fetchall():
            # The files may differ with another version of Pillow.
            sha256 = hashlib.sha256((root / path).read_bytes()).hexdigest()
            database.execute("UPDATE images SET sha256 = ? WHERE path = ?", [sha256, path])
    database.close()


@pytest.fixture
def copy(old: Analyze, tmp_path: Path) -> Analyze:
    """A copy of the home that a test may modify."""
    shutil.copytree(old.home, tmp_path / "home")
    return Analyze(tmp_path / "home")


# Keys that newer versions print, too.
ADDED: dict[str, dict[str, Any]] = {"dataset show": {"notes": []}}
OF_JOBS = {"images_left_out": 0, "hosts_without_images": [], "priority": "normal"}
OF_PICTURES = dict.fromkeys(
    (
        *("projection_largest", "picture_left", "picture_top", "picture_right", "picture_bottom"),
        "projection_method",
    )
)
BYTES = {1: 2_901_485, 2: 390_909, 3: 680_285, 4: 0, 5: 0}  # of files that each job wrote first


TIME = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d[.\d]*\+00:00)")  # printed with a T by newer versions


def stored_output(command: tuple[str, ...]) -> Any:
    name = " ".join(command)
    stored = json.loads(TIME.sub(r"\1T\2", json.dumps(SAYS["commands"][name])))
    if command[0] == "ls":
        return [row | OF_JOBS | {"bytes": BYTES[row["id"]]} for row in stored]
    if command[0] == "status":
        return stored | OF_JOBS | {"bytes": BYTES[stored["id"]], "warnings": [], "waiting": None}
    if command[0] == "results" and "loss" in stored[0]:
        return [row | {"class_accuracy": None} for row in stored]
    if command[0] == "results" and "patch_path" in stored[0]:
        return [row | OF_PICTURES for row in stored]
    if "--statistics" in command:
        return [row | {"precision": "float32"} for row in stored]
    added = ADDED.get(" ".join(command[:2]), {})
    return stored | added if added else stored


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_commands_print_the_stored_output(command: tuple[str, ...], old: Analyze) -> None:
    answer = json.dumps(old.json(*command)).replace(str(old.home.parent / "shapes"), ROOT)
    assert json.loads(answer) == stored_output(command)


@pytest.mark.parametrize("command", RESULTS, ids=" ".join)
def test_results_in_other_formats_have_the_same_rows(command: tuple[str, ...], old: Analyze) -> None:
    rows = stored_output(command)
    header, *lines = csv.reader(io.StringIO(old(*command, "--format", "csv").stdout))
    assert header == list(rows[0])
    assert [line[0] for line in lines] == [str(row[header[0]]) for row in rows]
    assert len(old(*command).stdout.splitlines()) == len(rows) + 1


@pytest.mark.parametrize("view", SAYS["views"])
def test_views_have_the_same_rows(view: str, old: Analyze) -> None:
    columns, rows = SAYS["views"][view]
    listed = ", ".join(f'"{column}"' for column in columns)
    answer = old.json("query", "--limit", 100_000, f"SELECT {listed} FROM {view}")
    assert rows
    assert sorted(([row[column] for column in columns] for row in answer), key=repr) == rows


def test_human_readable_output(old: Analyze, tmp_path: Path) -> None:
    listed = old("ls").stdout
    for job in SUBMITTED:
        state = stored_output(("status", str(job)))["state"]
        assert state in listed
        assert state in old("status", job).stdout
        assert "submitted: " in old("logs", job).stdout
    assert stored_output(("status", str(FAILED)))["error"] in old("logs", FAILED).stdout
    assert f"{ROOT}/" not in old("dataset", "show", "shapes").stdout
    assert "shapes" in old("dataset", "ls").stdout
    assert "conv5" in old("network", "show", "zfnet", "--size", 64, "--fc", 16, "--maps", "8,8,8").stdout
    assert "1 data sets, 5 jobs" in old("doctor").stdout
    old("compare", TRAINED, "--picture", tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 10_000
    old("results", TRAINED, "--html", tmp_path / "page.html", code=2)
    for job in (SEARCHED, SWEPT):
        old("results", job, "--html", tmp_path / f"{job}.html")
        assert "data:image" in (tmp_path / f"{job}.html").read_text()


@pytest.mark.parametrize("job", DONE)
def test_files_and_rows_verify(job: int, old: Analyze) -> None:
    result = old.json("verify", job)
    assert result["wrong"] == []
    assert result["files"] > 5
    assert result["rows"] >= {TRAINED: 1, SEARCHED: 12, SWEPT: 2}[job]


def test_gc_finds_no_garbage(old: Analyze) -> None:
    assert old.json("gc", "--older-than", 1)["files"] == []


def test_jobs_exported_to_an_empty_home_have_the_same_ids_and_outputs(stored: Path, tmp_path: Path) -> None:
    shutil.copytree(stored / "home", tmp_path / "home")
    here, there = Analyze(tmp_path / "home"), Analyze(tmp_path / "there")
    for job in DONE:
        here("export", job, tmp_path / f"{job}.tar")
        assert there("import", tmp_path / f"{job}.tar", "--root", tmp_path).stdout == f"{job}\n"
        assert there.json("verify", job, "--sample", 0)["wrong"] == []
        assert there.json("status", job)["key"] == stored_output(("status", str(job)))["key"]
    for command in RESULTS:
        assert there.json(*command) == stored_output(command)


def test_an_old_export_can_be_imported(stored: Path, old: Analyze, copy: Analyze, tmp_path: Path) -> None:
    there = Analyze(tmp_path / "there")
    root = old.home.parent / "shapes"
    assert there("import", stored / EXPORTED, "--root", root).stdout == "1\n"
    for command in (c for c in RESULTS if c[1] == str(SEARCHED)):
        rows = there.json("results", 1, *command[2:])
        assert [row | ({"job_id": SEARCHED} if "job_id" in row else {}) for row in rows] == stored_output(command)
    assert there.json("dataset", "show", "shapes")["root"] == str(root)
    assert there.json("verify", 1, "--sample", 0)["wrong"] == []
    assert copy("import", stored / EXPORTED).stdout == f"{SEARCHED}\n"  # the job exists


def test_submitting_the_same_job_returns_the_old_one(copy: Analyze) -> None:
    for job, words in SUBMITTED.items():
        options = ["--weights", initial_weights(copy)] if job == TRAINED else []
        assert copy("submit", *words, *options).stdout == f"{job}\n"
    assert len(copy.json("ls")) == len(SUBMITTED)


def test_old_jobs_can_be_retried_extended_and_searched(copy: Analyze) -> None:
    """Failed and cancelled jobs are retried, the training run is extended from its old state, and a new search
    uses its network."""
    copy("retry", FAILED)
    copy("retry", CANCELLED)
    extended = int(copy("submit", "train", "--extend", TRAINED, "--epochs", 3).stdout)
    searched = int(copy("submit", *SHAPES, "--layer", 4, "--units", "0-1", "--run", TRAINED).stdout)
    programs.run_code("from tests.faults.undisturbed import main; main()", copy.environment)
    for job in (FAILED, CANCELLED, extended, searched):
        assert copy.json("status", job)["state"] == "done", copy("logs", job).stdout
        assert copy.json("results", job)
    kept_epochs = [row for row in copy.json("results", extended) if row["epoch"] < 3]
    assert kept_epochs == stored_output(("results", str(TRAINED)))
    for job in DONE:
        assert copy.json("verify", job, "--sample", 0)["wrong"] == []
