"""A study's table as text in several formats."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from producer.studies.table import StudyState, StudyTable

LATEX = {
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "–": "--",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}
MARKDOWN = re.compile(r"[\\`*_\[\]<>|#]")


def text_rows(table: StudyTable) -> tuple[list[str], list[list[str]]]:
    """Return the heading and the rows, as people read them."""
    heading = [label.replace("_", " ") for label in table.labels] + [column.title for column in table.columns]
    return heading, [[*row, *(column.text(row) for column in table.columns)] for row in table.rows]


def markdown(title: str, table: StudyTable) -> str:
    """Return the table in Markdown; numbers are aligned to the right."""
    heading, rows = text_rows(table)
    rule = [":---"] * len(table.labels) + ["---:"] * len(table.columns)
    cells = [[_markdown(cell) for cell in row] for row in (heading, *rows)]
    lines = [f"**{_markdown(title)}**", "", _line(cells[0]), _line(rule), *map(_line, cells[1:])]
    for note in (*table.notes, *table.sources):
        lines += ["", _markdown(note)]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _markdown(text: str) -> str:
    return MARKDOWN.sub(lambda match: f"\\{match[0]}", " ".join(text.split()))


def latex(title: str, table: StudyTable) -> str:
    """Return a LaTeX ``table`` environment, which needs no packages."""
    heading, rows = text_rows(table)
    cells = [" & ".join(map(_latex, row)) + r" \\" for row in (heading, *rows)]
    notes = " ".join(_latex(text) for text in (f"{title}.", *table.notes, *(f"{s}." for s in table.sources)))
    columns = "l" * len(table.labels) + "r" * len(table.columns)
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\hline",
            cells[0],
            r"\hline",
            *cells[1:],
            r"\hline",
            r"\end{tabular}",
            rf"\caption{{{notes}}}",
            r"\end{table}",
        ]
    )


def _latex(text: str) -> str:
    return "".join(LATEX.get(char, char) for char in " ".join(text.split()))


def csv_rows(table: StudyTable) -> tuple[list[str], list[list[Any]]]:
    """Return numbers for programs: for each value its mean, its deviation, and how many numbers it is of."""
    heading = list(table.labels)
    for column in table.columns:
        name = " ".join(part for part in (column.value, column.group) if part) or column.title
        heading += [column.title] if column.source else [name, f"{name} deviation", f"{name} count"]
    rows: list[list[Any]] = []
    for row in table.rows:
        cells: list[Any] = [*row]
        for column in table.columns:
            cell = column.cells.get(row)
            if column.source:
                cells.append(column.published.get(row))
            else:
                cells += [cell.mean, cell.deviation, cell.count] if cell else [None, None, 0]
        rows.append(cells)
    return heading, rows


def as_json(state: StudyState, table: StudyTable | None) -> dict[str, Any]:
    """Return the object that ``analyze study show --json`` prints."""
    return {
        "study": state.name,
        "title": state.title,
        "parameters": state.parameters,
        "jobs": [
            {
                "name": planned.name,
                "kind": planned.kind,
                "labels": planned.labels,
                "job_id": job.id if job else None,
                "state": job.state if job else None,
            }
            for planned, job in state.jobs
        ],
        "table": _table_as_json(table) if table else None,
    }


def _table_as_json(table: StudyTable) -> dict[str, Any]:
    rows = []
    for row in table.rows:
        values = [
            {
                "value": column.value,
                "group": column.group,
                "mean": column.cells[row].mean,
                "deviation": column.cells[row].deviation,
                "count": column.cells[row].count,
                "jobs": column.cells[row].jobs,
            }
            for column in table.columns
            if row in column.cells
        ]
        published = [
            {"title": column.title, "value": column.published[row], "source": column.source}
            for column in table.columns
            if row in column.published
        ]
        rows.append(
            {"labels": dict(zip(table.labels, row, strict=True)), "values": values, "published": published}
        )
    return {"rows": rows, "notes": table.notes}
