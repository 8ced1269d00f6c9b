"""Options of the fault tests, and their counts at the end. ``tests/conftest.py`` names this module as a plugin."""

from __future__ import annotations

import secrets
from collections import Counter
from typing import Any

import pytest

SHORT_SEED = 2  # the same tests each time, as everywhere else
COUNTS = ("faults injected", "jobs run")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption(
        "--faults",
        choices=("short", "each", "long"),
        default="short",
        help="some faults of each module; each fault once; or each with every database and kind of job. Databases "
        "and kinds are drawn in the first two",
    )
    group.addoption("--rounds", type=int, default=1, help="how often the long selection runs them all")
    said = (
        f"of what is drawn for the faults; without it, {SHORT_SEED} for the short run, else another one each time"
    )
    group.addoption("--seed", type=int, help=said)


def pytest_configure(config: pytest.Config) -> None:
    if config.option.seed is None:
        drawn = getattr(config, "workerinput", {}).get("seed")  # all processes choose the same tests
        if drawn is None:
            drawn = SHORT_SEED if config.option.faults == "short" else secrets.randbelow(10**6)
        config.option.seed = drawn


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a process of xdist of the seed."""
    node.workerinput["seed"] = node.config.option.seed


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    reports = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        if "tests/faults" in report.nodeid and report.when == "call"
    ]
    if not reports:
        return
    counts: Counter[str] = Counter()
    for report in reports:
        counts.update({name: value for name, value in report.user_properties if name in COUNTS})
    said = ", ".join(f"{counts[name]} {name}" for name in COUNTS)
    failed = sum(report.failed for report in reports)
    terminalreporter.write_sep("=", "faults")
    terminalreporter.write_line(f"{len(reports)} cases, {said}, {failed} violations; --seed {config.option.seed}")
