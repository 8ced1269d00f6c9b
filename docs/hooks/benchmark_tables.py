"""MkDocs hook: replaces ``{{ benchmarks search }}`` by the tables of these groups in ``docs/benchmarks.json``."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "benchmarks.json"  # written by `python -m benchmarks`
MARKER = re.compile(r"\{\{ benchmarks ([a-z ]+) \}\}")
HEAD = "| benchmark | compared with | unitscope | peer | ratio | goal |\n|---|---|---|---|---|---|"
MET = {True: "", False: " (missed)", None: ""}


def on_page_markdown(markdown: str, page: object, **_: object) -> str:
    """Fill in the tables of the groups that a page names."""
    return MARKER.sub(lambda found: "\n".join(_lines(found[1].split())), markdown)


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    """Return the cells of a benchmark; ratios, with their range, and times are medians of the rounds."""
    ratio = f"{row['ratio']:.3g} ({_range(row)})" if row["ratio"] is not None else ""
    goal = row["goal_text"] + MET[row["met"]]
    times = amount(row["ours"], row["unit"]), amount(row["peer"], row["unit"])
    return row["work"], row["against"], *times, ratio, goal


def amount(rounds: Sequence[float], unit: str) -> str:
    """Return the median with its unit: ``2.1 s``, ``342 ms``, ``1,291 MB``; empty without a measurement."""
    if not rounds:
        return ""
    median = statistics.median(rounds)
    if unit != "s":
        return f"{median:,.0f} {unit}"
    return f"{median * 1000:.3g} ms" if median < 1 else f"{median:.1f} s" if median < 100 else f"{median:.0f} s"


def _range(row: dict[str, Any]) -> str:
    """Return the smallest and the largest ratio of a round."""
    at_most = row["goal"] is not None and row["goal"]["at_most"]
    pairs = zip(row["ours"], row["peer"], strict=True)
    ratios = [ours / peer if at_most else peer / ours for ours, peer in pairs]
    return f"{min(ratios):.3g} to {max(ratios):.3g}"


def _lines(groups: Sequence[str]) -> Iterator[str]:
    """Yield tables, notes, methods, and query plans."""
    content = json.loads(RESULTS.read_text())
    for group in groups:
        rows = [row for row in content["rows"] if row["group"] == group]
        measured = content["measured"][group]
        if len(groups) > 1:
            yield from (f"### {group.capitalize()}", "")
        yield HEAD
        yield from (f"| {' | '.join(cells(row))} |" for row in rows)
        yield from ("", *(f"- {row['work']}: {row['note']}" for row in rows if row["note"]), "")
        yield from ("**Method.** " + measured["how"].strip(), "", _machine(measured), "")
        for row in rows:
            if "plan" in row["details"]:
                yield from (f'```text title="{row["work"].replace("`", "")}"', row["details"]["plan"], "```", "")


def _machine(measured: dict[str, Any]) -> str:
    machine, setting = measured["machine"], measured["setting"]
    parts = [machine["gpu"]] if machine["gpu"] else []
    parts += [f"{machine['cores']} cores ({machine['instructions']})", f"torch {machine['torch']}"]
    parts += [f"Python {machine['python']}", f"rounds: {setting['rounds']}"]
    parts += [setting["crops"], f"weights: {setting['weights']}"] if "crops" in setting else []
    return f"Measured on {', '.join(parts)}."
