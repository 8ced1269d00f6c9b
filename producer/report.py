"""One HTML page of a top-9 search that opens by double click: its pictures are inside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import select

from producer.files import write_file
from producer.pages import inline, page_template, reported
from producer.reading import best_units
from shared.database import Database
from shared.models import SearchedLayer
from shared.store import Store

BEST_UNITS = 12


def write_report(database: Database, store: Store, job_id: int, page: Path) -> None:
    """Write the page: the best units, the contact sheet of every layer, and where it all comes from.

    Raises
    ------
    NoSuchJob, UsageError, JobStateConflict
        there is no such search, or it is not done.
    ArtifactMissing, FileNotWritable
    """
    write_file(page, _render(database, store, job_id).encode())


def _render(database: Database, store: Store, job_id: int) -> str:
    with database.read() as session:
        report = reported(session, job_id, "top9")
        layers = session.scalars(
            select(SearchedLayer).where(SearchedLayer.job_id == job_id).order_by(SearchedLayer.id)
        ).all()
    numbers = {layer["layer"]: layer for layer in (report.job.summary or {}).get("layers", [])}
    sheets = [
        {"name": layer.layer, "picture": inline(store, layer.contact_sheet_path), **numbers.get(layer.layer, {})}
        for layer in layers
    ]
    return page_template("report.html.j2").render(
        **vars(report),
        sheets=sheets,
        best=[_shown(store, vars(unit)) for unit in best_units(database, job_id, BEST_UNITS)],
    )


def _shown(store: Store, unit: dict[str, Any]) -> dict[str, Any]:
    return {
        **unit,
        "patches": inline(store, unit["patches_path"]),
        "projections": inline(store, unit["projections_path"]),
    }
