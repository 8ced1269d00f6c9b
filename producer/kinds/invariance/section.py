"""Section of an invariance job on the page of a study: the figure, and the changes of the first and last layer."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from producer.kinds.invariance.report import mean_changes
from producer.results.filters import EVERYTHING
from producer.results.pages import inline, load_report
from producer.results.sections import Finding, Picture, Section, percent
from shared.database.connection import Database
from shared.kinds.invariance.tables import InvarianceJob
from shared.store.store import Store

SYMBOLS = {"shift": " px", "scale": " x", "rotation": "°"}


def section(database: Database, store: Store, job_id: int) -> Section:
    """Return the section of a job that is done.

    Raises
    ------
    NoSuchJob, JobStateConflict, ArtifactMissing
    """
    with database.read() as session:
        report = load_report(session, job_id)
        figure = session.scalar(select(InvarianceJob.figure_path).where(InvarianceJob.job_id == job_id))
        rows = mean_changes(session, report.job, EVERYTHING)
    layers = [layer.layer for layer in report.specification.layers]
    rows.sort(key=lambda row: layers.index(row["layer"]) if row["layer"] in layers else len(layers))
    measures = {
        f"change of {row['layer']} at the smallest {row['transformation']} ({_value(row)})": (
            f"{row['at_smallest']:.2f} of the norm; mean {row['mean']:.2f}, largest {row['most']:.2f}"
        )
        for row in rows
        if row["at_smallest"] is not None
    }
    probability = report.summary.get("clear_probability")
    if probability is not None:
        measures["probability of the true class, untouched"] = percent(probability)
    for row in rows:
        if row["layer"] == rows[0]["layer"]:
            name = f"probability of the true class, mean over the {row['transformation']}s"
            measures[name] = percent(row["probability"])
    pictures = [Picture(inline(store, figure))] if figure else []
    return Section(report.summary.get("images"), measures, pictures, finding(rows))


def _value(row: dict[str, Any]) -> str:
    return f"{row['smallest']:g}{SYMBOLS[row['transformation']]}"


def finding(rows: list[dict[str, Any]]) -> Finding | None:
    """Compare the first with the last layer at the smallest change of each transformation.

    Layers whose features never change, as in a network that has not learnt, decide nothing.
    """
    if any(row["most"] == 0 for row in rows):
        return None
    changes: dict[str, list[float]] = {}
    for row in rows:
        if row["at_smallest"] is not None:
            changes.setdefault(row["transformation"], []).append(row["at_smallest"])
    compared = {name: values for name, values in changes.items() if len(values) > 1}
    if not compared:
        return None
    reason = "; ".join(f"{name} {values[0]:.2f} against {values[-1]:.2f}" for name, values in compared.items())
    holds = all(values[0] > values[-1] for values in compared.values())
    return Finding(holds, f"share of the norm, first against last layer: {reason}")
