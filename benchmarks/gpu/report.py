"""The report as JSON and Markdown, both rewritten after each result."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks.page import COLUMNS, table_cells
from benchmarks.timing import Row

NAME = "gpu"
State = Literal["waiting", "running", "done", "failed", "timed out", "skipped"]

EXPLANATION = """
Times are medians over the rounds, including the completion of GPU kernels. In each round every variant runs once;
each round starts with a different variant, and a warm-up round is not counted. A ratio is the median of the ratios
of the rounds, with its range: the speed relative to the peer, or, where the goal is *at most*, the time relative
to it. The goals are for an H100; on a CPU they are not evaluated. float32 is without TF32 unless stated otherwise.
The times of all rounds are in `gpu.json`.
"""


@dataclass(frozen=True)
class LimitedRow(Row):
    """A row with a limit for the time itself, in addition to the goal for the ratio."""

    limit: float | None = None  # seconds

    @property
    def met(self) -> bool | None:
        by_ratio = super().met
        if by_ratio is None or self.limit is None:
            return by_ratio
        return by_ratio and sorted(self.ours)[len(self.ours) // 2] <= self.limit

    @property
    def goal_text(self) -> str:
        text = super().goal_text
        return text if self.limit is None else f"{text}, at most {self.limit:g} s"


@dataclass(frozen=True)
class Operation:
    """A torch operator in a profile, with its self time, which excludes the operators it calls."""

    name: str
    calls: int
    milliseconds: float


@dataclass(frozen=True)
class Profile:
    """A profile of some work.

    ``idle`` is the share of ``seconds`` (measured without the profiler) in which the device ran nothing, or None
    on a CPU. ``waits`` is the number of calls in which Python waited for the device.
    """

    work: str
    seconds: float
    busy: float | None
    idle: float | None
    waits: int | None
    operations: list[Operation]


Finding = Row | Profile | dict[str, Any]  # a dict: other results, which the page lists


@dataclass
class Outcome:
    """State and results of a step."""

    name: str
    title: str
    state: State = "waiting"
    seconds: float = 0.0
    reason: str = ""
    traceback: str = ""
    peak_memory: int | None = None  # bytes on the device
    rows: list[Row] = field(default_factory=list)
    profiles: list[Profile] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def add(self, finding: Finding) -> None:
        if isinstance(finding, Row):
            self.rows.append(finding)
        elif isinstance(finding, Profile):
            self.profiles.append(finding)
        else:
            self.facts |= finding

    def as_json(self) -> dict[str, Any]:
        rows = [row.as_json() for row in self.rows]
        return {**asdict(self), "rows": rows}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Outcome:
        rows: list[Row] = [LimitedRow.from_json(row) for row in record["rows"]]
        profiles = [
            Profile(**{**profile, "operations": [Operation(**operation) for operation in profile["operations"]]})
            for profile in record["profiles"]
        ]
        return cls(**{**record, "rows": rows, "profiles": profiles})


@dataclass
class Report:
    """The outcomes of all steps, and the machine they ran on."""

    folder: Path
    machine: dict[str, str]
    settings: dict[str, Any]
    outcomes: list[Outcome] = field(default_factory=list)

    def read(self) -> None:
        """Load the outcomes from the report in the folder."""
        content = json.loads((self.folder / f"{NAME}.json").read_text(encoding="utf-8"))
        self.outcomes = [Outcome.from_json(outcome) for outcome in content["steps"]]

    def write(self) -> None:
        """Write both files. Each is replaced atomically, so that readers never see an incomplete file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        outcomes = [outcome.as_json() for outcome in self.outcomes]
        content = {"machine": self.machine, "settings": self.settings, "steps": outcomes}
        _replace(self.folder / f"{NAME}.json", json.dumps(content, indent=2, default=str) + "\n")
        _replace(self.folder / f"{NAME}.md", self.page())

    def page(self) -> str:
        """Render the report as Markdown."""
        parts = ["# GPU report\n", self._summary(), "## Machine\n", _bullets(self.machine)]
        for outcome in self.outcomes:
            if outcome.facts:
                parts += [f"## {outcome.title}\n", _bullets(outcome.facts)]
        parts += ["## Benchmarks\n", self._table(), EXPLANATION.lstrip(), self._notes()]
        if profiles := [profile for outcome in self.outcomes for profile in outcome.profiles]:
            parts += ["## Profiles\n", *map(_profile, profiles)]
        for outcome in self.outcomes:
            if outcome.state == "failed":
                parts.append(f"## Failed: {outcome.title}\n\n{outcome.reason}\n")
                parts += [f"```\n{outcome.traceback}\n```\n"] if outcome.traceback else []
        return "\n".join(part for part in parts if part)

    def _summary(self) -> str:
        """Render a table with one line per step."""
        lines = [("step", "outcome", "seconds", "peak device memory"), ("---",) * 4]
        for outcome in self.outcomes:
            state = "not started" if outcome.state == "waiting" else outcome.state
            text = f"{state}: {_one_line(outcome.reason)}" if outcome.reason else state
            memory = f"{outcome.peak_memory / 2**30:.1f} GiB" if outcome.peak_memory else ""
            lines.append((outcome.title, text, f"{outcome.seconds:.0f}" if outcome.seconds else "", memory))
        return _lines(lines)

    def _table(self) -> str:
        rows = [row for outcome in self.outcomes for row in outcome.rows]
        return _lines([COLUMNS, ("---",) * len(COLUMNS), *(table_cells(row) for row in rows)])

    def _notes(self) -> str:
        rows = [row for outcome in self.outcomes for row in outcome.rows]
        return "".join(f"* {row.work}: {row.note}\n" for row in rows if row.note)


def _replace(file: Path, text: str) -> None:
    unfinished = file.with_name(f".{file.name}.new")
    unfinished.write_text(text, encoding="utf-8")
    os.replace(unfinished, file)


def _lines(rows: Sequence[tuple[str, ...]]) -> str:
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |\n" for cells in rows)


def _bullets(facts: dict[str, Any]) -> str:
    return "".join(f"* {name}: {_one_line(value)}\n" for name, value in facts.items())


def _one_line(value: object) -> str:
    return " ".join(str(value).split())


def _profile(profile: Profile) -> str:
    if profile.busy is None or profile.idle is None:
        utilization = "no device events: the table lists CPU times of the operators"
    else:
        utilization = f"the device computes for {profile.busy:.3g} s and is idle {profile.idle:.0%} of the time"
        utilization += (
            f", Python waits for the device {profile.waits:,} times" if profile.waits is not None else ""
        )
    total = sum(operation.milliseconds for operation in profile.operations) or 1.0
    lines = [("operator", "calls", "ms", "share of listed"), ("---",) * 4]
    lines += [
        (f"`{o.name}`", f"{o.calls:,}", f"{o.milliseconds:.3g}", f"{o.milliseconds / total:.0%}")
        for o in profile.operations
    ]
    return f"### {profile.work}\n\n{profile.seconds:.3g} s; {utilization}.\n\n{_lines(lines)}"
