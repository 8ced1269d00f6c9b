"""Ctrl+C detaches, and never kills a job."""

from __future__ import annotations

import signal
import subprocess

import psutil
import pytest

from tests.integration.cli.helpers import Home, started


def interrupted(process: subprocess.Popen[str]) -> None:
    """Send Ctrl+C, and expect one line and exit code 130."""
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=100)
    assert process.returncode == 130, words
    assert "interrupted" in words
    assert "Traceback" not in words


@pytest.mark.parametrize("verb", [("watch",), ("logs", "--follow")])
def test_interrupted_watching_leaves_the_job_as_it_is(home: Home, queued: int, verb: tuple[str, ...]) -> None:
    before = home.jobs()
    process = started(home, *verb, queued)
    seen = psutil.Process(process.pid)
    home.wait(lambda: any("unitscope.sqlite3" in file.path for file in seen.open_files()))
    interrupted(process)
    assert home.jobs() == before


def test_interrupted_submit_wait_leaves_the_job_queued(home: Home, trained: int) -> None:
    asked = ("submit", "--layer", "5", "--units", "20", "--dataset", "shapes", "--run", trained, "--wait")
    process = started(home, *asked)
    assert process.stdout is not None
    job = int(process.stdout.readline())
    interrupted(process)
    assert (job, "queued") in home.jobs()
