"""HTML page of a top-9 search: the best units, contact sheets, and the job's inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from producer.kinds.top9.best import best_units
from producer.kinds.top9.layers import searched_layers
from producer.kinds.top9.mosaics import inline_mosaic
from producer.results.filters import EVERYTHING, Filters
from producer.results.pages import inline, load_report, page_template
from shared.database.connection import Database
from shared.kinds.top9.specification import Top9Specification
from shared.kinds.top9.tables import SearchedLayer, SearchedUnit
from shared.store.store import Store

BEST_UNITS = 12
METHODS = {
    "deconvnet": "deconvnet (Zeiler & Fergus 2013)",
    "guided": "guided back-propagation",
    "gradient": "the plain gradient",
}


def render(database: Database, store: Store, job_id: int, filters: Filters = EVERYTHING) -> str:
    """Render the page of a search: the best of the units that ``filters`` selects, and the contact sheets of their
    layers, as far as the search has come.

    Raises
    ------
    NoSuchJob, JobStateConflict, NoSuchLayer, NoSuchUnit, ArtifactMissing
    """
    with database.read() as session:
        report = load_report(session, job_id, lambda session: bool(searched_layers(session, job_id)))
        layers = searched_layers(session, job_id, filters.layer, filters.units)
        states = _states(session, layers) if report.incomplete else {}
    specification: Top9Specification = report.specification
    methods = {layer.layer: specification.method_of(layer) for layer in specification.layers}
    # A job that is not done has no summary.
    numbers = {layer["layer"]: layer for layer in report.summary.get("layers", [])} or states
    sheets = [
        {"name": layer.layer, "picture": inline(store, layer.contact_sheet_path), **numbers.get(layer.layer, {})}
        for layer in layers
    ]
    return page_template("kinds/top9/page.html.j2").render(
        **vars(report),
        sheets=sheets,
        methods=methods,
        projections=_projections(methods),
        best=[_with_pictures(store, vars(unit)) for unit in best_units(database, job_id, filters)[:BEST_UNITS]],
    )


def _projections(methods: Mapping[str, str | None]) -> str:
    """Name the projection method, or those of the layers if they differ."""
    by_method: dict[str | None, list[str]] = {}
    for layer, method in methods.items():
        by_method.setdefault(method, []).append(layer)
    named = {f"{METHODS[method]}, times the activation": of for method, of in by_method.items() if method}
    if len(by_method) == 1:
        return next(iter(named), "none")
    return "; ".join(f"{', '.join(layers)}: {name}" for name, layers in named.items())


def _states(session: Session, layers: Sequence[SearchedLayer]) -> dict[str, dict[str, int]]:
    """Count the units of each layer by state, as the summary of a done search does."""
    query = select(
        SearchedUnit.layer_id,
        func.count().label("units"),
        *(
            func.sum(case((state.is_(True), 1), else_=0)).label(state.key)
            for state in (SearchedUnit.dead, SearchedUnit.constant, SearchedUnit.not_finite)
        ),
    ).group_by(SearchedUnit.layer_id)
    names = {layer.id: layer.layer for layer in layers}
    rows = session.execute(query.where(SearchedUnit.layer_id.in_(names))).mappings()
    return {names[row["layer_id"]]: {**row} for row in rows}


def _with_pictures(store: Store, unit: dict[str, Any]) -> dict[str, Any]:
    return {
        **unit,
        "patches": inline_mosaic(store, unit["patches_path"]),
        "projections": inline_mosaic(store, unit["projections_path"]),
    }
