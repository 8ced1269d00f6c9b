"""Section of a correspondence job on the page of a study: the paper's Table 1, and the masked images."""

from __future__ import annotations

from sqlalchemy import select

from producer.kinds.correspondence.report import random_masks
from producer.kinds.correspondence.results import CORRESPONDENCE, CorrespondenceRow
from producer.results.pages import inline, load_report
from producer.results.sections import Finding, Picture, Section
from shared.database.connection import Database
from shared.kinds.correspondence.tables import CorrespondenceJob
from shared.store.store import Store


def section(database: Database, store: Store, job_id: int) -> Section:
    """Return the section of a job that is done.

    Raises
    ------
    NoSuchJob, JobStateConflict, ArtifactMissing
    """
    with database.read() as session:
        report = load_report(session, job_id)
        figure = session.scalar(select(CorrespondenceJob.figure_path).where(CorrespondenceJob.job_id == job_id))
    rows = list(CORRESPONDENCE.rows(database, job_id))
    measures = {
        f"{row.part}, {row.layer}": f"{_distance(row.distance, row.spread)}, {row.pairs} pairs; "
        f"random masks of its sizes {_distance(row.random_distance, row.random_spread)}"
        for row in rows
        if row.distance is not None
    }
    for layer in dict.fromkeys(row.layer for row in rows):
        mean, spread, _ = random_masks([row for row in rows if row.layer == layer])
        measures[f"random masks, {layer}"] = _distance(mean, spread)
    pictures = [Picture(inline(store, figure))] if figure else []
    return Section(report.summary.get("images"), measures, pictures, finding(rows))


def _distance(mean: float | None, spread: float | None) -> str:
    if mean is None:
        return "no pair"
    return f"{mean:.3f}" + (f" ± {spread:.3f}" if spread is not None else "")


def finding(rows: list[CorrespondenceRow]) -> Finding | None:
    """Decide by the first layer: each part is nearer than random masks of its own sizes."""
    known = [(row.part, row.distance, row.random_distance) for row in rows if row.layer == rows[0].layer]
    compared = [(part, own, chance) for part, own, chance in known if own is not None and chance is not None]
    if not compared:
        return None
    reason = "; ".join(f"{part} {own:.3f} against {chance:.3f}" for part, own, chance in compared)
    holds = all(own < chance for _, own, chance in compared)
    return Finding(holds, f"{rows[0].layer}, the same part against random masks: {reason}")
