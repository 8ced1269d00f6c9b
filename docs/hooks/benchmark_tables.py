"""MkDocs hook: replaces ``{{ benchmarks search }}`` by the tables of these groups in ``docs/benchmarks.json``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

DOCS = Path(__file__).parents[1]
sys.path.insert(0, str(DOCS.parent))  # the benchmarks are not installed
from benchmarks.page import COLUMNS, Results, machine_and_setting, table_cells  # noqa: E402

MARKER = re.compile(r"\{\{ benchmarks ([a-z_ ]+) \}\}")


def on_page_markdown(markdown: str, page: object, **_: object) -> str:
    """Fill in the tables of the groups that a page names."""
    return MARKER.sub(lambda found: "\n".join(_lines(found[1].split())), markdown)


def _lines(groups: Sequence[str]) -> Iterator[str]:
    """Yield tables, notes, methods, and query plans."""
    results = Results.read(DOCS / "benchmarks.json")
    for group in groups:
        rows = [row for row in results.rows if row.group == group]
        if group not in results.measured:
            yield from (f"Not measured yet: run `python -m benchmarks --only {group}`.", "")
            continue
        measured = results.measured[group]
        if len(groups) > 1:
            yield from (f"### {group.capitalize()}", "")
        for cells in (COLUMNS, ("---",) * len(COLUMNS), *map(table_cells, rows)):
            yield f"| {' | '.join(cells)} |"
        yield from ("", *(f"- {row.work}: {row.note}" for row in rows if row.note), "")
        yield from ("**Method.** " + measured["how"].strip(), "")
        yield from (f"Measured on {machine_and_setting(measured['machine'], measured['setting'])}.", "")
        for row in rows:
            if "plan" in row.details:
                yield from (f'```text title="{row.work.replace("`", "")}"', row.details["plan"], "```", "")
