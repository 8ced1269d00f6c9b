"""HTML page of a correspondence job: the paper's Table 1, and the masked images."""

from __future__ import annotations

from typing import Any

from sqlalchemy import exists, select

from producer.kinds.correspondence.results import CORRESPONDENCE, CorrespondenceRow
from producer.results.filters import EVERYTHING, Filters
from producer.results.pages import inline, load_report, page_template
from shared.database.connection import Database
from shared.kinds.correspondence.tables import CorrespondenceJob, CorrespondencePart
from shared.store.store import Store

SHOWN_SKIPPED = 50


def render(database: Database, store: Store, job_id: int, filters: Filters = EVERYTHING) -> str:
    """Render the page of a job that is done.

    Raises
    ------
    NoSuchJob, JobStateConflict, NoSuchModule, ArtifactMissing
    """
    with database.read() as session:
        compared = select(exists().where(CorrespondencePart.job_id == job_id))
        report = load_report(session, job_id, lambda session: bool(session.scalar(compared)))
        figure = session.scalar(select(CorrespondenceJob.figure_path).where(CorrespondenceJob.job_id == job_id))
    rows = list(CORRESPONDENCE.rows(database, job_id, filters))
    specification: Any = report.specification
    return page_template("kinds/correspondence/page.html.j2").render(
        **vars(report),
        figure=inline(store, figure),
        layers=list(dict.fromkeys(row.layer for row in rows)),
        table=_by_part(rows),
        rows=rows,
        shown_skipped=specification.skipped[:SHOWN_SKIPPED],
    )


def _by_part(rows: list[CorrespondenceRow]) -> list[tuple[str, dict[str, CorrespondenceRow]]]:
    """Return the rows of Table 1: for each part its row of each layer."""
    parts = dict.fromkeys(row.part for row in rows)
    return [(part, {row.layer: row for row in rows if row.part == part}) for part in parts]
