"""Adding a job kind needs only three folders and a migration.

The page ``docs/contributing/adding-a-kind.md`` is the code of the toy kind: its blocks are added to a copy of the
program, and the kind supports everything that the built-in kinds do.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests import programs

ROOT = Path(__file__).parents[2]
PACKAGES = ("unitscope", "shared", "producer", "worker", "migrations")
PYTHON = (sys.executable, "-m", "producer")
PAGE = ROOT / "docs" / "contributing" / "adding-a-kind.md"


class Program:
    """A copy of the program with the toy kind, and its home. ``command`` is what runs the program."""

    def __init__(self, folder: Path, home: Path, command: Sequence[str] = PYTHON) -> None:
        self.folder, self.home, self.command = folder, home, command
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ANALYZE_")},
            "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",  # the second for `tests.programs`
            "ANALYZE_HOME": str(home),
            "ANALYZE_SWEEP_SECONDS": "0.5",
            "ANALYZE_THREADS": "1",
            "NO_COLOR": "1",
        }

    def __call__(self, *arguments: object, code: int = 0) -> str:
        command = [*self.command, *map(str, arguments)]
        done = subprocess.run(
            command, env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == code, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout if code == 0 else done.stderr

    def json(self, *arguments: object) -> Any:
        return json.loads(self(*arguments, "--json"))


def files_of_the_page() -> dict[str, str]:
    """Return the files on the page, by their paths in the program."""
    blocks = re.findall(r'^```\S+ title="([^"]+)"\n(.*?)^```$', PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(dict(blocks)) == len(blocks) == 13
    return dict(blocks)


def with_the_toy_kind(folder: Path) -> list[Path]:
    """Copy the program and add the toy kind; returns the added files."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    added = []
    for name, content in files_of_the_page().items():
        assert not (folder / name).exists()
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
        added.append(Path(name))
    return added


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, shapes_root: Path) -> Iterator[Program]:
    """The program with a running worker and a data set."""
    folder = tmp_path_factory.mktemp("toy")
    added = with_the_toy_kind(folder / "source")
    kinds = ("shared/kinds/brightness", "worker/kinds/brightness", "producer/kinds/brightness")
    assert [str(f) for f in added if not str(f).startswith((*kinds, "migrations/versions/9999_"))] == []
    assert {str(f.parent) for f in added} == {*kinds, "migrations/versions"}
    # Commands are forked from a server that has imported the copy. The service is started as usual.
    programs.write_command(folder / "analyze", source=folder / "source")
    program = Program(folder / "source", folder / "home", [str(folder / "analyze")])
    program("dataset", "add", "shapes", "--root", shapes_root)
    log = (folder / "up.log").open("wb")
    command = [*PYTHON, "up", "--devices", "cpu"]
    up = subprocess.Popen(command, env=program.environment, cwd=program.folder, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while not program.json("query", "SELECT name FROM workers") and time.monotonic() < deadline:
            time.sleep(0.3)
        yield program
    finally:
        up.terminate()
        up.wait(40)
        log.close()


@pytest.fixture(scope="module")
def job(program: Program) -> str:
    return program("submit", "brightness", "--dataset", "shapes", "--shards", "3", "--wait").strip()


@pytest.mark.parametrize("arguments", ["check", "format --check"])
def test_the_code_of_the_page_passes_the_linter(program: Program, arguments: str) -> None:
    files = [name for name in files_of_the_page() if name.endswith(".py")]
    command = [sys.executable, "-m", "ruff", *arguments.split(), "--no-cache", *files]
    done = subprocess.run(command, cwd=program.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_toy_job_is_submitted_run_and_listed(program: Program, job: str) -> None:
    assert "brightness" in program("submit", "--help")
    (listed,) = program.json("ls", "--kind", "brightness")
    assert (listed["state"], listed["kind"]) == ("done", "brightness")
    assert listed["what"].startswith("brightness of ")
    status = program.json("status", job)
    assert [(stage["name"], stage["shards"]) for stage in status["stages"]] == [
        ("measure", {"done": 3}), ("finish", {"done": 1}),
    ]  # fmt: skip
    assert len(status["summary"]) > 1
    assert all(0 < mean < 255 for mean in status["summary"].values())
    assert "images/s" in program("status", job)
    assert program("submit", "brightness", "--dataset", "shapes").strip() == job  # returns the existing job
    assert 'unitscope_jobs{kind="brightness",state="done"} 1.0' in program("metrics")


def test_results_of_a_toy_job_in_every_format(program: Program, job: str) -> None:
    rows = program.json("results", job)
    assert rows == program.json("query", f"SELECT image_id, image_path, class_name, brightness FROM brightness "
                                f"WHERE job_id = {job} ORDER BY image_id")  # fmt: skip
    lines = program("results", job, "--format", "jsonl").splitlines()
    assert [json.loads(line) for line in lines] == rows
    as_csv = list(csv.DictReader(io.StringIO(program("results", job, "--format", "csv"))))
    assert [float(row["brightness"]) for row in as_csv] == [row["brightness"] for row in rows]
    name = rows[0]["class_name"]
    assert program.json("results", job, "--class", name) == [row for row in rows if row["class_name"] == name]
    assert "--layer" in program("results", job, "--layer", "5", code=2)
    assert "brightness" in program("results", job, "--statistics", code=2)
    page = program.home / "page.html"
    program("results", job, "--html", page)
    assert name in page.read_text()


def test_a_toy_job_is_verified_exported_and_imported(
    program: Program, job: str, tmp_path: Path, shapes_root: Path
) -> None:
    checked = program.json("verify", job)
    assert (checked["wrong"], checked["rows"]) == ([], min(64, len(program.json("results", job))))
    program("export", job, tmp_path / "job.tar")
    elsewhere = Program(program.folder, tmp_path / "elsewhere", program.command)
    number = elsewhere("import", tmp_path / "job.tar", "--root", shapes_root).strip()
    here, there = program.json("results", job), elsewhere.json("results", number)
    assert [{**row, "image_id": 0} for row in there] == [{**row, "image_id": 0} for row in here]
    assert elsewhere.json("verify", number)["wrong"] == []
    assert program.json("gc")["files"] == []


def test_a_program_without_the_kind_refuses_its_export(program: Program, job: str, tmp_path: Path) -> None:
    program("export", job, tmp_path / "job.tar")
    without = Program(ROOT, tmp_path / "without")
    assert "schema is 9999" in without("import", tmp_path / "job.tar", code=2)
