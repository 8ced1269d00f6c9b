"""HTML page of a correspondence job: the paper's Table 1, and the masked images."""

from __future__ import annotations

import math
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
    layers = list(dict.fromkeys(row.layer for row in rows))
    specification: Any = report.specification
    return page_template("kinds/correspondence/page.html.j2").render(
        **vars(report),
        figure=inline(store, figure),
        layers=layers,
        table=_table(rows, layers),
        rows=rows,
        shown_skipped=specification.skipped[:SHOWN_SKIPPED],
    )


Cell = tuple[float | None, float | None, float | None]  # mean, standard deviation, reported mean


def _table(rows: list[CorrespondenceRow], layers: list[str]) -> list[tuple[str, list[Cell]]]:
    """Return the rows of Table 1: for each part, and for random masks, a cell for each layer."""
    cells = {(row.part, row.layer): (row.distance, row.spread, row.reported_distance) for row in rows}
    parts = dict.fromkeys(row.part for row in rows)
    by_part = [(part, [cells[part, layer] for layer in layers]) for part in parts]
    of_layers = [[row for row in rows if row.layer == layer] for layer in layers]
    return [*by_part, ("random masks", [random_masks(listed) for listed in of_layers])]


def random_masks(rows: list[CorrespondenceRow]) -> Cell:
    """Return mean and standard deviation of random masks over the pairs of all parts."""
    known = [
        (row.pairs, row.random_distance, row.random_spread)
        for row in rows
        if row.random_distance is not None and row.random_spread is not None
    ]
    reported = rows[0].reported_random if rows else None
    if not (pairs := sum(count for count, _, _ in known)):
        return None, None, reported
    mean = sum(count * distance for count, distance, _ in known) / pairs
    squares = sum(count * (spread**2 + (distance - mean) ** 2) for count, distance, spread in known)
    return mean, math.sqrt(squares / pairs), reported
