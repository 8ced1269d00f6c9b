"""Benchmark results as a JSON file and a Markdown page."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.timing import Row

HEAD = """# Benchmarks

```
python -m benchmarks --images VOCdevkit
```

"""
COLUMNS = ("benchmark", "compared with", "unitscope", "peer", "ratio", "goal", "met")
EXPLANATION = """
Times are medians over the rounds. In each round, every variant of a group runs once, one after the other; each
round starts with a different variant, and a warm-up round is not counted. A ratio is the median of the ratios of
the rounds, with its range: the speed relative to the peer, or, where the goal is *at most*, the time relative to
it. The goals are for two cores. All programs, including the peers, run with the glibc allocator settings of the
workers (`producer/service/supervisor.py`). The times of all rounds are in `benchmarks.json`.
"""


@dataclass
class Results:
    """The rows of all measured groups, and the method, machine and setting of each group."""

    rows: list[Row]
    measured: dict[str, dict[str, Any]]

    @classmethod
    def read(cls, output: Path) -> Results:
        """Read earlier results; return empty results if there is no file."""
        file = output.with_suffix(".json")
        if not file.is_file():
            return cls([], {})
        content = json.loads(file.read_text())
        return cls([Row.from_json(row) for row in content["rows"]], content["measured"])

    def replace_group(
        self, group: str, rows: Sequence[Row], how: str, machine: dict[str, Any], setting: dict[str, Any]
    ) -> None:
        """Replace the rows and the description of a group."""
        self.rows = [row for row in self.rows if row.group != group] + list(rows)
        self.measured[group] = {"how": how, "machine": machine, "setting": setting}

    def write(self, output: Path, order: Sequence[str]) -> None:
        """Write both files, with the groups in this order."""
        self.rows.sort(key=lambda row: order.index(row.group))
        measured = {group: self.measured[group] for group in order if group in self.measured}
        content = {"measured": measured, "rows": [row.as_json() for row in self.rows]}
        output.parent.mkdir(parents=True, exist_ok=True)
        output.with_suffix(".json").write_text(json.dumps(content, indent=2) + "\n")
        output.with_suffix(".md").write_text(_page(self.rows, measured))


def _page(rows: Sequence[Row], measured: dict[str, dict[str, Any]]) -> str:
    table = [COLUMNS, ("---",) * len(COLUMNS), *(table_cells(row) for row in rows)]
    parts = [HEAD, *(f"| {' | '.join(cells)} |\n" for cells in table), "\n## How it was measured\n", EXPLANATION]
    for group, description in measured.items():
        machine = machine_and_setting(description["machine"], description["setting"])
        parts.append(f"\n### {group.capitalize()}\n{description['how']}\nMeasured on {machine}.\n")
        notes = [f"* {row.work}: {row.note}\n" for row in rows if row.group == group and row.note]
        parts += ["\n", *notes] if notes else []
    plans = [row for row in rows if "plan" in row.details]
    parts += ["\n## Query plans\n"] if plans else []
    parts += [f"\n{row.work}:\n\n```\n{row.details['plan']}\n```\n" for row in plans]
    return "".join(parts)


def table_cells(row: Row) -> tuple[str, ...]:
    """Return the cells of a benchmark's row, in the order of ``COLUMNS``."""
    met = {True: "yes", False: "no", None: ""}[row.met]
    ratio = f"{row.ratio:.3g} ({min(row.ratios):.3g} to {max(row.ratios):.3g})" if row.ratio else ""
    goal = row.goal_text or "none"
    return (row.work, row.against, median(row.ours, row.unit), median(row.peer, row.unit), ratio, goal, met)


def median(rounds: Sequence[float], unit: str) -> str:
    """Return the median with its unit: ``2.1 s``, ``342 ms``, ``1,291 MB``; empty without a measurement."""
    if not rounds:
        return ""
    value = statistics.median(rounds)
    if unit != "s":
        return f"{value:,.0f} {unit}"
    return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.1f} s" if value < 100 else f"{value:.0f} s"


def machine_and_setting(machine: dict[str, Any], setting: dict[str, Any]) -> str:
    """Describe what a group was measured on."""
    parts = [machine["gpu"]] if machine["gpu"] else []
    parts += [machine["processor"]] if machine.get("processor") else []
    parts += [f"{machine['cores']} cores ({machine['instructions']})", f"torch {machine['torch']}"]
    parts += [f"Python {machine['python']}", f"{setting['rounds']} round{'s' if setting['rounds'] > 1 else ''}"]
    parts += [setting["crops"], f"weights: {setting['weights']}"] if "crops" in setting else []
    return ", ".join(parts)
