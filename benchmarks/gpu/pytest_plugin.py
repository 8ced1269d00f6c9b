"""A pytest plugin that writes the outcome of each test as a line of JSON as soon as it is known.

The outcomes are therefore complete up to the point where a run is interrupted.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

FILE = "UNITSCOPE_TEST_OUTCOMES"  # environment variable


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.outcome != "passed":
        _write(report.nodeid, report.outcome, report.duration, report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        _write(report.nodeid, "failed", 0.0, report)


def _write(test: str, outcome: str, seconds: float, report: pytest.TestReport | pytest.CollectReport) -> None:
    text = report.longrepr
    if isinstance(text, tuple):  # a skipped test: file, line, reason
        text = text[2]
    line = {"test": test, "outcome": outcome, "seconds": seconds, "text": "" if text is None else str(text)}
    with Path(os.environ[FILE]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
