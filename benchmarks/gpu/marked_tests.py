"""The tests that are marked ``gpu``, in a process of their own."""

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

from benchmarks.gpu.clock import Clock
from benchmarks.gpu.recording import FILE
from benchmarks.gpu.report import Finding
from benchmarks.gpu.setting import Setting
from benchmarks.gpu.steps import Cut, Failed, LeftOut

ROOT = Path(__file__).resolve().parents[2]
MARK = "mark.gpu"
NOTHING_COLLECTED = 5  # pytest's exit code
SHORT = 300  # characters of a failure's last lines
END_SECONDS = 15.0  # to end in good order


def measure(setting: Setting, clock: Clock) -> Iterator[Finding]:
    """How many passed, and why others didn't.

    Raises
    ------
    Failed, Cut, LeftOut
    """
    if not setting.is_cuda:
        raise LeftOut("the tests marked gpu need a CUDA device")
    files = marked_files(ROOT / "tests")
    if not files:
        raise LeftOut("no test is marked gpu")
    outcomes, log = setting.place / "tests.jsonl", setting.place / "tests.log"
    code = run(files, outcomes, log, clock)
    found = read(outcomes)
    counts = Counter(test["outcome"] for test in found)
    yield {"tests": ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())) or "none ran"}
    for test in found:
        if test["outcome"] != "passed":
            yield {f"{test['outcome']}: {test['test']}": last_lines(test["text"])}
    if slowest := sorted(found, key=lambda test: -test["seconds"])[:3]:
        shown = (f"{test['test'].rpartition('/')[2]} {test['seconds']:.0f} s" for test in slowest)
        yield {"slowest": ", ".join(shown)}
    if counts["failed"]:
        raise Failed(f"{counts['failed']} tests failed")
    if code is None:
        raise Cut(f"after {clock.seconds:.0f} s, the tests' share, the others were not tried")
    if code not in (0, NOTHING_COLLECTED):
        raise Failed(f"pytest ended with {code}: {last_lines(log.read_text(errors='replace'))}")


def marked_files(tests: Path) -> list[Path]:
    """The files that have such tests; importing all others would take as long as running these."""
    return [
        file
        for file in sorted(tests.rglob("test_*.py"))
        if file.parent.name == "gpu" or MARK in file.read_text(encoding="utf-8")
    ]


def run(files: list[Path], outcomes: Path, log: Path, clock: Clock) -> int | None:
    """Run them; the exit code, None if the time ended them."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, FILE: str(outcomes)}
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-n", "0", "-p", "benchmarks.gpu.recording"]
    command += ["-p", "no:cacheprovider", "--continue-on-collection-errors", *map(str, files)]
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=file, stderr=file, start_new_session=True
        )
    try:
        return process.wait(clock.left)
    except subprocess.TimeoutExpired:
        click.echo("  the tests' share of the time is over", err=True)
        return None
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """As Ctrl+C would, and then at once."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def read(outcomes: Path) -> list[dict[str, Any]]:
    """What ``recording`` wrote, the last outcome of each test; a line that was cut is left out."""
    found: dict[str, dict[str, Any]] = {}
    for line in outcomes.read_text(encoding="utf-8").splitlines() if outcomes.exists() else ():
        try:
            test = json.loads(line)
        except ValueError:
            continue
        found[test["test"]] = test
    return list(found.values())


def last_lines(text: str) -> str:
    """The end of a failure's text, where pytest says what was wrong."""
    wrong = [line[1:].strip() for line in text.splitlines() if line.startswith("E ")]
    lines = wrong or [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-4:])[-SHORT:] if not wrong else " / ".join(wrong[:4])[:SHORT]
