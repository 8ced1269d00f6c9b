"""Tests marked ``gpu``, run in a separate pytest process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from benchmarks.gpu.pytest_plugin import FILE, UNFINISHED
from benchmarks.gpu.report import Finding
from benchmarks.gpu.setting import Setting
from benchmarks.gpu.steps import StepFailed, StepSkipped, StepTimedOut
from benchmarks.gpu.time_budget import TimeBudget

ROOT = Path(__file__).resolve().parents[2]
MARK = "mark.gpu"
FINISHED = (0, 1, 5)  # pytest's exit codes: all passed, some failed, nothing collected
MAX_FAILURE_CHARACTERS = 300
STOP_SECONDS = 15.0  # between SIGINT and SIGKILL


def measure(setting: Setting, budget: TimeBudget) -> Iterator[Finding]:
    """Yield the number of tests by outcome, the reason of each test that did not pass, and the slowest tests.

    Raises
    ------
    StepFailed, StepTimedOut, StepSkipped
    """
    if not setting.is_cuda:
        raise StepSkipped("the tests marked gpu need a CUDA device")
    files = marked_files(ROOT / "tests")
    if not files:
        raise StepSkipped("no test is marked gpu")
    outcomes, log = setting.folder / "tests.jsonl", setting.folder / "tests.log"
    code = run(files, outcomes, log, budget)
    tests = read(outcomes)
    counts = Counter(test["outcome"] for test in tests)
    yield {"tests": ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())) or "none ran"}
    for test in tests:
        if test["outcome"] != "passed":
            yield {f"{test['outcome']}: {test['test']}": last_lines(test["text"])}
    if slowest := sorted(tests, key=lambda test: -test["seconds"])[:3]:
        shown = (f"{test['test'].rpartition('/')[2]} {test['seconds']:.0f} s" for test in slowest)
        yield {"slowest": ", ".join(shown)}
    if counts["failed"]:
        raise StepFailed(f"{counts['failed']} tests failed")
    if code is None:
        raise StepTimedOut(f"stopped after {budget.seconds:.0f} s, the tests' share of the time limit")
    if counts[UNFINISHED]:
        raise StepFailed(f"the process ended during {counts[UNFINISHED]} tests")
    if code not in FINISHED:
        raise StepFailed(f"pytest exited with {code}: {last_lines(log.read_text(errors='replace'))}")


def marked_files(tests: Path) -> list[Path]:
    """Return the test files that contain the mark. Collecting all files takes as long as running these tests."""
    return [
        file
        for file in sorted(tests.rglob("test_*.py"))
        if file.parent.name == "gpu" or MARK in file.read_text(encoding="utf-8")
    ]


def run(files: list[Path], outcomes: Path, log: Path, budget: TimeBudget) -> int | None:
    """Run the tests of the files; return pytest's exit code, or None if the time limit was reached.

    If the process ends early, for example because a test has made CUDA unusable, a new one runs the other tests.
    """
    done = 0
    while True:
        tests = [test["test"] for test in read(outcomes)]
        code = _run(files, tests, outcomes, log, budget)
        if code is None or code in FINISHED or len(read(outcomes)) == done:
            return code
        done = len(read(outcomes))


def _run(files: list[Path], done: list[str], outcomes: Path, log: Path, budget: TimeBudget) -> int | None:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, FILE: str(outcomes)}
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-n", "0", "-p", "benchmarks.gpu.pytest_plugin"]
    command += ["-p", "no:cacheprovider", "--continue-on-collection-errors", *map(str, files)]
    command += [f"--deselect={test}" for test in done]
    with log.open("ab") as file:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=file, stderr=file, start_new_session=True
        )
    try:
        return process.wait(budget.remaining)
    except subprocess.TimeoutExpired:
        click.echo("  the tests have used up their share of the time limit", err=True)
        return None
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Interrupt pytest, and kill it if it doesn't exit."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def read(outcomes: Path) -> list[dict[str, Any]]:
    """Read the last outcome of each test from the plugin's file, ignoring an incomplete last line."""
    tests: dict[str, dict[str, Any]] = {}
    for line in outcomes.read_text(encoding="utf-8").splitlines() if outcomes.exists() else ():
        try:
            test = json.loads(line)
        except ValueError:
            continue
        tests[test["test"]] = test
    return list(tests.values())


def last_lines(text: str) -> str:
    """Shorten a failure's text to pytest's error lines, or to its last lines if there are none."""
    errors = [line[1:].strip() for line in text.splitlines() if line.startswith("E ")]
    if errors:
        return " / ".join(errors[:4])[:MAX_FAILURE_CHARACTERS]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-4:])[-MAX_FAILURE_CHARACTERS:]
