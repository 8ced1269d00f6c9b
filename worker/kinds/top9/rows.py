"""Rows that the stage *select* writes for a layer: units, their statistics, and rankings without pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.database.base import Base
from shared.database.connection import insert_missing
from shared.kinds.top9.specification import SearchedLayerSpecification
from shared.kinds.top9.tables import (
    BottomActivation,
    ClassActivation,
    SearchedLayer,
    SearchedUnit,
    TopActivation,
    UnitStatistics,
)
from shared.store.store import StoredFile
from unitscope.layers.forms import known_places
from unitscope.search.ranking import NO_IMAGE, TopActivations
from unitscope.search.search import LayerSearch
from unitscope.search.statistics import statistics_of, tied
from unitscope.vocabulary import ProjectionMethod
from worker.kinds.common import register_artifacts
from worker.runner import ShardContext

Columns = dict[str, np.ndarray]

# Rankings by class can have millions of rows. Inserting them in one transaction would block other writers of a
# SQLite file for longer than their timeout.
ROWS_AT_ONCE = 20_000


def record_layer(
    context: ShardContext,
    layer: SearchedLayerSpecification,
    result: LayerSearch,
    projection: ProjectionMethod | None = None,
    maxima: StoredFile | None = None,
    constant: np.ndarray | None = None,
) -> np.ndarray:
    """Write the results of a layer, in several transactions. ``maxima`` is the file of its kept maxima.

    ``constant`` are the module's units whose weights are zero, bool [units or more]; None if the stage *project*
    finds them.

    Rows that exist are skipped: those of an earlier attempt that are not identical must have been removed. The
    stage *project* adds pictures to the top activations, by the method ``projection``.

    Returns
    -------
    bool [units, top]: see ``tied``.
    """
    row = SearchedLayer(
        job_id=context.claim.job_id,
        layer=layer.layer,
        layer_path=layer.path,
        projection=projection,
        maxima_path=maxima.path if maxima else None,
    )
    layer_id = _record_units(context, row, layer, result, maxima, constant)
    ties = tied(result.exact, result.top.activation, partial(context.progress, 0))
    columns = _columns(layer.units, {0: result.top})
    del columns["class_index"]
    columns["tied"] = ties[result.top.image != NO_IMAGE]
    _record_columns(context, TopActivation, layer_id, columns)
    if result.bottom:
        columns = _columns(layer.units, {0: result.bottom})
        del columns["class_index"]
        columns["activation"] = -columns["activation"]  # the search ranks the negated maps
        _record_columns(context, BottomActivation, layer_id, columns)
    if result.by_class:
        _record_columns(context, ClassActivation, layer_id, _columns(layer.units, result.by_class))
    return ties


def _record_units(
    context: ShardContext,
    row: SearchedLayer,
    layer: SearchedLayerSpecification,
    result: LayerSearch,
    maxima: StoredFile | None,
    constant: np.ndarray | None,
) -> int:
    """Write the layer, its units and their statistics; return the layer's id."""
    job_id = context.claim.job_id
    query = select(SearchedLayer.id).where(SearchedLayer.job_id == job_id, SearchedLayer.layer_path == layer.path)
    with context.database.read() as session:
        layer_id = session.scalar(query)
    if layer_id is not None:  # written by an earlier attempt
        return layer_id
    statistics = []
    for values in _statistics(layer.units, result):
        statistics.append(values)
        context.progress(0)
    states = [
        SearchedUnit(
            unit=unit,
            dead=dead,
            not_finite=not_finite,
            constant=None if constant is None else bool(constant[unit]) and not (dead or not_finite),
        )
        for unit, dead, not_finite in zip(
            layer.units, result.dead.tolist(), result.not_finite.tolist(), strict=True
        )
    ]

    def write(session: Session) -> None:
        if maxima:
            register_artifacts(context, session, [maxima])
        session.add(row)
        session.flush()
        for unit in states:
            unit.layer_id = row.id
        session.add_all(states)
        session.add_all(UnitStatistics(layer_id=row.id, **values) for values in statistics)

    context.record(write, locks_job=maxima is not None)
    return row.id


def _statistics(units: Sequence[int], result: LayerSearch) -> Iterator[dict[str, Any]]:
    for index in np.flatnonzero(~result.not_finite).tolist():
        statistics, unit = statistics_of(result.maxima[:, index]), units[index]
        quantiles = dict(zip(("q50", "q90", "q99", "q999"), statistics.quantiles, strict=True))
        values = {name: value for name, value in vars(statistics).items() if name != "quantiles"}
        yield {"unit": unit, **values, **quantiles, "precision": result.precision}


def _columns(units: Sequence[int], by_class: dict[int, TopActivations]) -> Columns:
    """Return the columns of all rankings of a layer, one entry per row, ordered by unit, class and rank."""
    rankings = list(by_class.values())
    image = np.stack([ranking.image for ranking in rankings], 1)  # [units, classes, top]
    listed = image != NO_IMAGE
    unit, label, rank = listed.nonzero()
    others = {
        name: np.stack([getattr(ranking, name) for ranking in rankings], 1)[listed]
        for name in ("activation", "row", "col")
    }
    others["row"], others["col"] = known_places(others["row"], others["col"])
    return {
        "unit": np.asarray(units)[unit],
        "class_index": np.asarray(list(by_class))[label],
        "rank": rank + 1,
        "image_id": image[listed],
        **others,
    }


def _record_columns(context: ShardContext, model: type[Base], layer_id: int, columns: Columns) -> None:
    for start in range(0, len(columns["unit"]), ROWS_AT_ONCE):
        chunk = [values[start : start + ROWS_AT_ONCE].tolist() for values in columns.values()]
        rows = [dict(zip(columns, row, strict=True), layer_id=layer_id) for row in zip(*chunk, strict=True)]
        context.record(partial(insert_missing, model=model, rows=rows))
        context.progress(0)
