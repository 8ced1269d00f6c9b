"""Section of an evolution on the page of a study: the paper's figure, and when units settle."""

from __future__ import annotations

from itertools import groupby

from producer.kinds.evolution.results import SETTLED_UNITS, SettledUnitsRow
from producer.results.pages import inline, load_report
from producer.results.sections import Finding, Picture, Section, percent
from shared.database.connection import Database
from shared.kinds.evolution.tables import EvolutionJob
from shared.store.store import Store


def section(database: Database, store: Store, job_id: int) -> Section:
    """Return the section of a job that is done.

    Raises
    ------
    NoSuchJob, JobStateConflict, ArtifactMissing
    """
    with database.read() as session:
        report = load_report(session, job_id)
        drawn = session.get(EvolutionJob, job_id)
    rows = list(SETTLED_UNITS.rows(database, job_id))
    layers = {layer: [*counts] for layer, counts in groupby(rows, key=lambda row: row.layer)}
    measures = {f"units of {layer} settled": _by_epoch(counts) for layer, counts in layers.items()}
    pictures = []
    if drawn and drawn.figure_path:
        pictures.append(Picture(inline(store, drawn.figure_path), "A row is a unit, a column an epoch."))
    if drawn:
        caption = "Share of units whose top image no longer changes, by epoch."
        pictures.append(Picture(inline(store, drawn.curve_path), caption))
    return Section(report.summary.get("images"), measures, pictures, finding(layers))


def _by_epoch(counts: list[SettledUnitsRow]) -> str:
    return ", ".join(f"epoch {row.epoch}: {percent(row.share, 0)}" for row in counts if row.share is not None)


def finding(layers: dict[str, list[SettledUnitsRow]]) -> Finding | None:
    """Compare the first with the last layer by the mean share of settled units; at the last epoch all are."""
    means = {}
    for layer, counts in layers.items():
        shares = [row.share for row in counts[:-1] if row.share is not None]
        if shares:
            means[layer] = sum(shares) / len(shares)
    if len(means) < 2:
        return None
    (first, low), *_, (last, high) = means.items()
    compared = f"{first} {percent(low, 0)}, {last} {percent(high, 0)}"
    return Finding(low > high, f"settled units, mean over the epochs before the last: {compared}")
