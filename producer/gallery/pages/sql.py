"""The page of a query: one SELECT, as ``analyze query`` runs it."""

from __future__ import annotations

import json
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from producer.gallery.page import Gallery, Page, Parameters
from producer.gallery.query_process import (
    CSV_ROWS,
    LARGEST,
    LONGEST,
    ROWS,
    SECONDS,
    prepare,
    run_query_process,
)
from producer.results.query import readable_tables
from shared.errors import UsageError
from unitscope.errors import UnitscopeError

LONGEST_CELL = 500  # characters; the JSON and the CSV have all
EXAMPLES = (
    "SELECT id, kind, state, created_at FROM jobs ORDER BY id DESC LIMIT 20",
    "SELECT layer, unit, activation, class_name, image_path FROM top_activations WHERE rank = 1 LIMIT 20",
    "SELECT d.name, s.split, count(*) AS images FROM image_splits s JOIN datasets d ON d.id = s.dataset_id "
    "GROUP BY d.name, s.split",
)


def read(gallery: Gallery, parameters: Parameters) -> dict[str, Any]:
    """Read the page ``/sql``. A query that is refused is shown with the reason.

    Raises
    ------
    UsageError, HTTPException
    """
    sql = parameters.text("q", LONGEST)
    rows: list[dict[str, Any]] | None = None
    note = error = ""
    if sql:
        try:
            answered = run_query_process(gallery.settings, sql, "json", ROWS)
            rows, note = json.loads(answered.output), answered.note
        except UnitscopeError as refused:
            error = str(refused)
    else:
        prepare(gallery.settings)
    return {
        "title": "SQL",
        "q": sql,
        "error": error,
        "columns": list(rows[0]) if rows else [],
        "rows": rows,
        "note": note.replace("Raise --limit to print more.", f"The CSV has up to {CSV_ROWS:,}."),
        "csv": f"/sql.csv?{parameters.link().partition('?')[2]}",
        "schema": readable_tables(gallery.database),
        "examples": EXAMPLES,
        "limits": {"rows": ROWS, "seconds": SECONDS, "bytes": LARGEST},
        "longest_cell": LONGEST_CELL,
        "longest": LONGEST,
    }


async def answer_csv(request: Request) -> Response:
    """Answer ``/sql.csv`` with the rows as ``analyze query --format csv`` prints them.

    Raises
    ------
    UsageError, HTTPException
    """
    return await run_in_threadpool(
        _csv, request.app.state.gallery, Parameters({}, request.query_params, "/sql.csv")
    )


def _csv(gallery: Gallery, parameters: Parameters) -> Response:
    sql = parameters.text("q", LONGEST)
    if not sql:
        raise UsageError(reason="/sql.csv needs a query: ?q=SELECT ...")
    answered = run_query_process(gallery.settings, sql, "csv", CSV_ROWS)
    headers = {"Content-Disposition": 'attachment; filename="query.csv"'}
    return Response(answered.output.encode(), headers=headers, media_type="text/csv; charset=utf-8")


SQL = Page("/sql", "gallery/templates/sql.html.j2", read)
