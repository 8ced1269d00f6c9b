"""Section of an occlusion sweep on the page of a study: the drop of the probability, and the largest ones."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from producer.kinds.occlusion.results import OCCLUSION_MAPS, OcclusionMapRow
from producer.results.pages import inline, load_report
from producer.results.sections import Finding, Picture, Section, percent
from shared.database.connection import Database
from shared.store.store import Store

FIGURES = 8


def section(database: Database, store: Store, job_id: int) -> Section:
    """Return the section of a sweep that is done.

    Raises
    ------
    NoSuchJob, JobStateConflict, ArtifactMissing
    """
    with database.read() as session:
        report = load_report(session, job_id)
    rows = list(OCCLUSION_MAPS.rows(database, job_id))
    drawn = [row for row in sorted(rows, key=_drop, reverse=True) if row.picture_path][:FIGURES]
    pictures = [Picture(inline(store, row.picture_path), _caption(row), columns=2) for row in drawn]
    return Section(report.summary.get("images"), _measures(rows, report.summary), pictures, finding(rows))


def _drop(row: OcclusionMapRow) -> float:
    return row.clear_probability - row.min_probability


def _caption(row: OcclusionMapRow) -> str:
    clear, least = percent(row.clear_probability, 0), percent(row.min_probability, 0)
    return (
        f"{row.class_name} ({row.image_path}): probability {clear} in the clear image, {least} at the worst "
        "position of the square"
    )


def _measures(rows: list[OcclusionMapRow], summary: dict[str, Any]) -> dict[str, str]:
    if not rows:
        return {}
    correlations = [row.correlation for row in rows if row.correlation is not None]
    measures = {
        "probability of the true class, clear (mean)": percent(fmean(row.clear_probability for row in rows)),
        "least probability under the square (mean)": percent(fmean(row.min_probability for row in rows)),
        "images whose predicted class changes": f"{sum(row.class_changes > 0 for row in rows)} of {len(rows)}",
    }
    if correlations:
        measures["correlation of activation and probability (mean)"] = f"{fmean(correlations):.2f}"
    inside, outside = summary.get("probability_inside_box"), summary.get("probability_outside_box")
    if inside is not None and outside is not None:
        measures["probability, square on the object"] = percent(inside)
        measures["probability, square beside the object"] = percent(outside)
    return measures


def finding(rows: list[OcclusionMapRow]) -> Finding | None:
    """Decide by the mean over the images: the least probability is below half of the clear one."""
    if not rows:
        return None
    clear, least = fmean(row.clear_probability for row in rows), fmean(row.min_probability for row in rows)
    return Finding(least < clear / 2, f"mean probability {percent(clear)}, at the worst position {percent(least)}")
