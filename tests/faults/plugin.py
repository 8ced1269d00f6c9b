"""A pytest plugin with the options of the fault tests and a summary. ``tests/conftest.py`` registers it."""

from __future__ import annotations

import secrets
from collections import Counter
from typing import Any

import pytest

SHORT_SEED = 2  # fixed, so that the short run always has the same tests
COUNTS = ("faults injected", "jobs run")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption(
        "--faults",
        choices=("short", "each", "databases", "long"),
        default="short",
        help="short: some faults of each module. each: every fault once. databases: every fault with each "
        "database. long: every fault with each database and job kind. What is not named is chosen at random.",
    )
    group.addoption("--rounds", type=int, default=1, help="number of repetitions with --faults=long")
    seed_help = (
        f"seed of the random choices. Default: {SHORT_SEED} with --faults=short, otherwise a new seed each time"
    )
    group.addoption("--seed", type=int, help=seed_help)


def pytest_configure(config: pytest.Config) -> None:
    if config.option.seed is None:
        drawn = getattr(config, "workerinput", {}).get("seed")  # all xdist workers must choose the same tests
        if drawn is None:
            drawn = SHORT_SEED if config.option.faults == "short" else secrets.randbelow(10**6)
        config.option.seed = drawn


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Pass the seed to an xdist worker."""
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
    summary = ", ".join(f"{counts[name]} {name}" for name in COUNTS)
    failed = sum(report.failed for report in reports)
    terminalreporter.write_sep("=", "faults")
    terminalreporter.write_line(
        f"{len(reports)} cases, {summary}, {failed} violations; --seed {config.option.seed}"
    )
