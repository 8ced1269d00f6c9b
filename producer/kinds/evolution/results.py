"""Result tables of an evolution: a row for each unit and epoch, and the numbers of settled units."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Float, case, cast, null, select
from sqlalchemy.orm import Session, join, outerjoin

from producer.results.filters import Filters
from producer.results.tables import Column, ResultTable, columns_of
from shared.database.catalogue import class_index
from shared.database.datasets import Dataset, Image
from shared.jobs.tables import Job
from shared.kinds.evolution.tables import EvolvedLayer, EvolvedUnit, SettledUnits, UnitEvolution
from unitscope.errors import NoSuchLayer


@dataclass(frozen=True)
class UnitEvolutionRow:
    """A unit's strongest activation at an epoch: a row of the view ``unit_evolution``."""

    job_id: int
    layer: str
    layer_path: str
    unit: int
    epoch: int
    state: str
    activation: float | None
    image_id: int | None
    image_path: str | None
    class_name: str | None
    row: int | None
    col: int | None
    tied: bool | None
    settled_epoch: int | None
    patch_path: str | None
    projection_path: str | None
    projection_scale: float | None


@dataclass(frozen=True)
class SettledUnitsRow:
    """The number of settled units of a layer at an epoch: a row of the view ``settled_units``."""

    job_id: int
    layer: str
    layer_path: str
    epoch: int
    units: int
    active: int
    active_at_end: int
    settled: int
    share: float | None


def searched_layers(session: Session, job_id: int, layer: str | None = None) -> list[EvolvedLayer]:
    """Return the layers of an evolution, or only the named one.

    Raises
    ------
    NoSuchLayer
    """
    query = select(EvolvedLayer).where(EvolvedLayer.job_id == job_id).order_by(EvolvedLayer.id)
    layers = list(session.scalars(query))
    if layer is None:
        return layers
    chosen = [row for row in layers if layer in (row.layer, row.layer_path) or f"conv{layer}" == row.layer]
    if not chosen:
        choices = ", ".join(row.layer for row in layers) or "none yet"
        raise NoSuchLayer(network=f"Job {job_id}", layer=layer, choices=choices)
    return chosen


def _of_layers(session: Session, job: Job, filters: Filters) -> list[ColumnElement[bool]]:
    layers = searched_layers(session, job.id, filters.layer)
    return [EvolvedLayer.id.in_([layer.id for layer in layers])]


def _conditions(session: Session, job: Job, filters: Filters) -> list[ColumnElement[bool]]:
    clauses = _of_layers(session, job, filters)
    if filters.units:
        clauses.append(UnitEvolution.unit.in_(filters.units))
    if filters.images:
        clauses.append(UnitEvolution.image_id.in_(filters.images))
    if filters.class_name is not None:
        dataset = session.get_one(Dataset, job.dataset_id)
        clauses.append(Image.class_index == class_index(dataset, filters.class_name))
    return clauses


LAYER: dict[str, Column] = {
    "job_id": EvolvedLayer.job_id,
    "layer": EvolvedLayer.layer,
    "layer_path": EvolvedLayer.layer_path,
}
SHARE = case(
    (SettledUnits.active_at_end > 0, cast(SettledUnits.settled, Float) / SettledUnits.active_at_end), else_=null()
)

UNIT_EVOLUTION: ResultTable[UnitEvolutionRow] = ResultTable(
    kind="evolution",
    title="unit evolution",
    row=UnitEvolutionRow,
    source=outerjoin(
        join(
            join(UnitEvolution, EvolvedLayer, EvolvedLayer.id == UnitEvolution.layer_id),
            EvolvedUnit,
            (EvolvedUnit.layer_id == UnitEvolution.layer_id) & (EvolvedUnit.unit == UnitEvolution.unit),
        ),
        Image,
        Image.id == UnitEvolution.image_id,
    ),
    columns=columns_of(
        UnitEvolutionRow,
        UnitEvolution,
        {
            **LAYER,
            "image_path": Image.path,
            "class_name": Image.class_name,
            "settled_epoch": EvolvedUnit.settled_epoch,
        },
    ),
    job=EvolvedLayer.job_id,
    key=(UnitEvolution.layer_id, UnitEvolution.unit, UnitEvolution.epoch),
    filters=frozenset({"layer", "units", "class_name", "images"}),
    conditions=_conditions,
)
SETTLED_UNITS: ResultTable[SettledUnitsRow] = ResultTable(
    kind="evolution",
    title="settled units",
    row=SettledUnitsRow,
    source=join(SettledUnits, EvolvedLayer, EvolvedLayer.id == SettledUnits.layer_id),
    columns=columns_of(SettledUnitsRow, SettledUnits, {**LAYER, "share": SHARE}),
    job=EvolvedLayer.job_id,
    key=(SettledUnits.layer_id, SettledUnits.epoch),
    filters=frozenset({"layer"}),
    conditions=_of_layers,
)
