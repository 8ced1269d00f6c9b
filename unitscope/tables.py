"""Small tables, as text for a terminal and as HTML for a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

Cells = Sequence[Sequence[str]]


def as_text(headings: Sequence[str], rows: Cells, right: Sequence[str] = ()) -> str:
    """Format a table with aligned columns; columns whose heading is in ``right`` are aligned to the right."""
    widths = [max(len(row[column]) for row in [headings, *rows]) for column in range(len(headings))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if heading in right else cell.ljust(width)
            for cell, width, heading in zip(row, widths, headings, strict=True)
        ).rstrip()
        for row in [headings, *rows]
    )


def as_html(caption: str, headings: Sequence[str], rows: Cells, right: Sequence[str] = (), below: str = "") -> str:
    """Format an HTML table with a caption above and a line of text ``below``. All text is escaped."""

    def line(tag: str, cells: Sequence[str]) -> str:
        sides = ("right" if heading in right else "left" for heading in headings)
        filled = (
            f'<{tag} style="text-align: {side}">{escape(cell)}</{tag}>'
            for cell, side in zip(cells, sides, strict=True)
        )
        return f"<tr>{''.join(filled)}</tr>"

    body = "".join(line("td", row) for row in rows)
    table = f"<table><thead>{line('th', headings)}</thead><tbody>{body}</tbody></table>"
    return f"<div><p>{escape(caption)}</p>{table}{f'<p>{escape(below)}</p>' if below else ''}</div>"
