"""The results as a file and as a page."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measuring import Row

HEAD = """# Benchmarks

```
python -m benchmarks --images VOCdevkit
```

"""
COLUMNS = ("work", "against", "ours", "peer", "ratio", "goal", "met")
EXPLANATION = """
Times are medians of the rounds. In a round every way of a group runs once, one after the other; each round begins
with another one, and one round before the first is not counted. A ratio is the median of the rounds' ratios, with
its range: how many times as fast ours is, or, where the goal is *at most*, our time over the other's. The goals
are for two cores. All programs, those we are compared with too, run with the settings of glibc's allocator that
our workers have (`producer/service/supervisor.py`). The times of all rounds are in `benchmarks.json`.
"""


@dataclass
class Results:
    """The rows of every group that was measured, and by group how and on what."""

    rows: list[Row]
    measured: dict[str, dict[str, Any]]

    @classmethod
    def read(cls, output: Path) -> Results:
        """What is there already."""
        file = output.with_suffix(".json")
        if not file.is_file():
            return cls([], {})
        kept = json.loads(file.read_text())
        return cls([Row.from_json(row) for row in kept["rows"]], kept["measured"])

    def put(
        self, group: str, rows: Sequence[Row], how: str, machine: dict[str, Any], setting: dict[str, Any]
    ) -> None:
        """Replace a group's rows."""
        self.rows = [row for row in self.rows if row.group != group] + list(rows)
        self.measured[group] = {"how": how, "machine": machine, "setting": setting}

    def write(self, output: Path, order: Sequence[str]) -> None:
        """Write both files, the groups in this order."""
        self.rows.sort(key=lambda row: order.index(row.group))
        measured = {group: self.measured[group] for group in order if group in self.measured}
        kept = {"measured": measured, "rows": [row.as_json() for row in self.rows]}
        output.parent.mkdir(parents=True, exist_ok=True)
        output.with_suffix(".json").write_text(json.dumps(kept, indent=2) + "\n")
        output.with_suffix(".md").write_text(_page(self.rows, measured))


def _page(rows: Sequence[Row], measured: dict[str, dict[str, Any]]) -> str:
    table = [COLUMNS, ("---",) * len(COLUMNS), *(cells_of(row) for row in rows)]
    parts = [HEAD, *(f"| {' | '.join(cells)} |\n" for cells in table), "\n## How it was measured\n", EXPLANATION]
    for group, found in measured.items():
        on = _on(found["machine"], found["setting"])
        parts.append(f"\n### {group.capitalize()}\n{found['how']}\nMeasured on {on}.\n")
        notes = [f"* {row.work}: {row.note}\n" for row in rows if row.group == group and row.note]
        parts += ["\n", *notes] if notes else []
    plans = [row for row in rows if "plan" in row.details]
    parts += ["\n## Query plans\n"] if plans else []
    parts += [f"\n{row.work}:\n\n```\n{row.details['plan']}\n```\n" for row in plans]
    return "".join(parts)


def cells_of(row: Row) -> tuple[str, ...]:
    met = {True: "yes", False: "missed", None: ""}[row.met]
    ratio = f"{row.ratio:.3g} ({min(row.ratios):.3g} to {max(row.ratios):.3g})" if row.ratio else ""
    goal = row.goal_text or "stated"
    return (row.work, row.against, _amount(row.ours, row.unit), _amount(row.peer, row.unit), ratio, goal, met)


def _amount(rounds: Sequence[float], unit: str) -> str:
    if not rounds:
        return ""
    median = statistics.median(rounds)
    if unit != "s":
        return f"{median:,.0f} {unit}"
    return f"{median * 1000:.3g} ms" if median < 1 else f"{median:.1f} s" if median < 100 else f"{median:.0f} s"


def _on(machine: dict[str, Any], setting: dict[str, Any]) -> str:
    parts = [machine["gpu"]] if machine["gpu"] else []
    parts += [f"{machine['cores']} cores ({machine['instructions']})", f"torch {machine['torch']}"]
    parts += [f"Python {machine['python']}", f"{setting['rounds']} rounds"]
    parts += [setting["crops"], f"weights: {setting['weights']}"] if "crops" in setting else []
    return ", ".join(parts)
