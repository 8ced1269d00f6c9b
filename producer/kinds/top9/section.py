"""Section of a top-9 search on the page of a study: the units whose images agree most on one class."""

from __future__ import annotations

from itertools import groupby
from statistics import fmean

from producer.kinds.top9.best import UnitSummary, best_units
from producer.kinds.top9.layers import searched_layers
from producer.kinds.top9.mosaics import inline_mosaic
from producer.results.pages import load_report
from producer.results.sections import Finding, Picture, Section, percent
from shared.database.connection import Database
from shared.store.store import Store

UNITS = 6  # shown of each layer


def section(database: Database, store: Store, job_id: int) -> Section:
    """Return the section of a search that is done.

    Raises
    ------
    NoSuchJob, JobStateConflict, ArtifactMissing
    """
    with database.read() as session:
        report = load_report(session, job_id)
        names = [layer.layer for layer in searched_layers(session, job_id)]
    numbers = {layer["layer"]: layer for layer in report.summary.get("layers", [])}
    by_layer = {name: [*units] for name, units in groupby(
        sorted(best_units(database, job_id), key=lambda unit: names.index(unit.layer)), key=lambda unit: unit.layer
    )}  # fmt: skip
    measures = {
        f"dead units of {name}": f"{numbers[name]['dead']} of {numbers[name]['units']}"
        for name in names
        if name in numbers
    }
    # A unit with a single top image agrees with itself: units with fewer images than others are left out.
    full = max((unit.count for units in by_layer.values() for unit in units), default=0)
    shares = {name: [unit.share for unit in units if unit.count == full] for name, units in by_layer.items()}
    agreement = {name: fmean(listed) for name, listed in shares.items() if listed}
    measures["share of a unit's top images that have one class, mean"] = ", ".join(
        f"{name} {percent(share, 0)}" for name, share in agreement.items()
    )
    pictures = [picture for units in by_layer.values() for unit in units[:UNITS] for picture in _pair(store, unit)]
    return Section(report.summary.get("images"), measures, pictures, finding(agreement))


def _pair(store: Store, unit: UnitSummary) -> list[Picture]:
    if unit.patches_path is None:  # of a search without projections
        return []
    same = f"{round(unit.share * unit.count)} of {unit.count} images: {unit.class_name}"
    return [
        Picture(
            inline_mosaic(store, unit.projections_path), f"{unit.layer}, unit {unit.unit}: projections", columns=4
        ),
        Picture(inline_mosaic(store, unit.patches_path), same, columns=4),
    ]


def finding(agreement: dict[str, float]) -> Finding | None:
    """Compare the first layer with the last one."""
    if len(agreement) < 2:
        return None
    (first, low), *_, (last, high) = agreement.items()
    return Finding(high > low, f"agreement on a class: {first} {percent(low, 0)}, {last} {percent(high, 0)}")
