"""Result tables of a job of filters: a row for each filter, and one for each convolution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session, join

from producer.results.filters import Filters
from producer.results.tables import ResultTable, columns_of
from shared.jobs.tables import Job
from shared.kinds.filters.tables import FilterLayer, FilterRow
from unitscope.errors import NoSuchLayer


@dataclass(frozen=True)
class FilterResultRow:
    """A filter: a row of the view ``filters``."""

    job_id: int
    network_number: int
    network: str
    layer: str
    layer_path: str
    unit: int
    rms: float
    norm: float
    mean: float
    minimum: float
    maximum: float
    dead: bool
    dominating: bool
    over_limit: bool


@dataclass(frozen=True)
class FilterLayerRow:
    """A convolution: a row of the view ``filter_layers``."""

    job_id: int
    network_number: int
    network: str
    layer: str
    layer_path: str
    filters: int
    inputs: int
    groups: int
    kernel_rows: int
    kernel_cols: int
    stride_rows: int
    stride_cols: int
    reads_pixels: bool
    rms_median: float
    rms_limit: float
    dead: int
    dominating: int
    over_limit: int
    picture_path: str


def of_layer(layer: str) -> ColumnElement[bool]:
    """Return the condition that selects a layer by name, number, or module path."""
    return FilterLayer.layer.in_((layer, f"conv{layer}")) | (FilterLayer.layer_path == layer)


def _conditions(model: type[Any]) -> Callable[[Session, Job, Filters], list[ColumnElement[bool]]]:
    def conditions(session: Session, job: Job, filters: Filters) -> list[ColumnElement[bool]]:
        clauses: list[ColumnElement[bool]] = []
        if filters.layer is not None:
            of_job = select(FilterLayer.layer).where(FilterLayer.job_id == job.id)
            if not session.scalars(of_job.where(of_layer(filters.layer))).all():
                known = session.scalars(of_job.order_by(FilterLayer.network_number, FilterLayer.layer_number))
                choices = ", ".join(dict.fromkeys(known)) or "none yet"
                raise NoSuchLayer(network=f"Job {job.id}", layer=filters.layer, choices=choices)
            clauses.append(of_layer(filters.layer))
        if filters.units:
            clauses.append(model.unit.in_(filters.units))
        return clauses

    return conditions


FILTERS: ResultTable[FilterResultRow] = ResultTable(
    kind="filters",
    title="filters",
    row=FilterResultRow,
    source=join(
        FilterRow,
        FilterLayer,
        (FilterLayer.job_id == FilterRow.job_id)
        & (FilterLayer.network_number == FilterRow.network_number)
        & (FilterLayer.layer_number == FilterRow.layer_number),
    ),
    columns=columns_of(
        FilterResultRow,
        FilterRow,
        {"network": FilterLayer.network, "layer": FilterLayer.layer, "layer_path": FilterLayer.layer_path},
    ),
    job=FilterRow.job_id,
    key=(FilterRow.network_number, FilterRow.layer_number, FilterRow.unit),
    filters=frozenset({"layer", "units"}),
    conditions=_conditions(FilterRow),
)
FILTER_LAYERS: ResultTable[FilterLayerRow] = ResultTable(
    kind="filters",
    title="convolutions",
    row=FilterLayerRow,
    source=FilterLayer.__table__,
    columns=columns_of(FilterLayerRow, FilterLayer),
    job=FilterLayer.job_id,
    key=(FilterLayer.network_number, FilterLayer.layer_number),
    filters=frozenset({"layer"}),
    conditions=_conditions(FilterLayer),
)
