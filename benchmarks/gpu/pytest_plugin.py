"""A pytest plugin that writes the outcome of each test as a line of JSON as soon as it is known.

The outcomes are therefore complete up to the point where a run is interrupted. The process exits if a test has
made CUDA unusable in it, since all later tests would fail.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

FILE = "UNITSCOPE_TEST_OUTCOMES"  # environment variable
UNFINISHED = "not finished"  # outcome of a test during which the process ended
CUDA_UNUSABLE = 86  # exit code


def pytest_runtest_logstart(nodeid: str) -> None:
    _write(nodeid, UNFINISHED, 0.0, None)


def pytest_runtest_logfinish() -> None:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        os._exit(CUDA_UNUSABLE)  # an ordinary exit can hang or abort in CUDA's destructors


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.outcome != "passed":
        _write(report.nodeid, report.outcome, report.duration, report.longrepr)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        _write(report.nodeid, "failed", 0.0, report.longrepr)


def _write(test: str, outcome: str, seconds: float, text: object) -> None:
    if isinstance(text, tuple):  # a skipped test: file, line, reason
        text = text[2]
    line = {"test": test, "outcome": outcome, "seconds": seconds, "text": "" if text is None else str(text)}
    with Path(os.environ[FILE]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
