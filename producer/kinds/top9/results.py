"""Result tables of a top-9 search: top, bottom and per-class activations, and unit statistics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, FromClause, exists, select
from sqlalchemy.orm import Session, join

from producer.kinds.top9.layers import conditions_on_units, searched_layers
from producer.results.filters import Filters
from producer.results.tables import Column, ResultTable, columns_of
from shared.database.catalogue import class_index
from shared.database.datasets import Dataset, Image
from shared.errors import UsageError
from shared.jobs.tables import Job
from shared.kinds.registry import specification_values
from shared.kinds.top9.tables import (
    BottomActivation,
    ClassActivation,
    SearchedLayer,
    TopActivation,
    UnitStatistics,
)

Ranked = type[TopActivation] | type[BottomActivation] | type[ClassActivation]

RANKED_FILTERS = frozenset({"layer", "units", "class_name", "images", "ranks"})
ENTITIES: dict[str, Column] = {
    "job_id": SearchedLayer.job_id,
    "layer": SearchedLayer.layer,
    "layer_path": SearchedLayer.layer_path,
    "image_path": Image.path,
    "class_name": Image.class_name,
    "projection_method": SearchedLayer.projection,
}


@dataclass(frozen=True)
class BottomActivationRow:
    """An image with one of a unit's lowest spatial minima: a row of the view ``bottom_activations``."""

    job_id: int
    layer: str
    layer_path: str
    unit: int
    rank: int
    activation: float
    image_id: int
    image_path: str
    class_name: str
    row: int | None  # None, as col, where the activation has no place: in vectors, and in a class token
    col: int | None


@dataclass(frozen=True)
class TopActivationRow(BottomActivationRow):
    """An image that activates a unit most: a row of the view ``top_activations``.

    The columns of the pictures are None until the unit is projected, and without projections.
    """

    patch_path: str | None
    projection_path: str | None
    projection_scale: float | None
    tied: bool | None
    projection_largest: float | None
    picture_left: int | None
    picture_top: int | None
    picture_right: int | None
    picture_bottom: int | None
    projection_method: str | None


@dataclass(frozen=True)
class ClassActivationRow:
    """An image of a class that activates a unit most: a row of the view ``class_activations``."""

    job_id: int
    layer: str
    layer_path: str
    unit: int
    class_name: str
    rank: int
    activation: float
    image_id: int
    image_path: str
    row: int | None  # None, as col, where the activation has no place: in vectors, and in a class token
    col: int | None


@dataclass(frozen=True)
class UnitStatisticsRow:
    """Statistics of a unit's maxima over all images: a row of the view ``unit_statistics``.

    ``precision`` is that in which the maxima were computed.
    """

    job_id: int
    layer: str
    layer_path: str
    unit: int
    images: int
    mean: float
    minimum: float
    maximum: float
    fired_share: float
    q50: float
    q90: float
    q99: float
    q999: float
    histogram: list[int]
    precision: str


def _with_layer_and_image(model: Ranked) -> FromClause:
    with_layer = join(model, SearchedLayer, SearchedLayer.id == model.layer_id)
    return join(with_layer, Image, Image.id == model.image_id)


def _filter_conditions(model: type[Any]) -> Callable[[Session, Job, Filters], list[ColumnElement[bool]]]:
    """Return a function that turns filters into conditions on the rows of ``model``."""

    def conditions(session: Session, job: Job, filters: Filters) -> list[ColumnElement[bool]]:
        clauses = conditions_on_units(session, job, filters, model.layer_id, model.unit)
        if filters.images:
            clauses.append(model.image_id.in_(filters.images))
        if filters.ranks:
            clauses.append(model.rank.in_(filters.ranks))
        if filters.class_name is not None:
            dataset = session.get_one(Dataset, job.dataset_id)
            clauses.append(Image.class_index == class_index(dataset, filters.class_name))
        return clauses

    return conditions


def _requires(option: str) -> Callable[[Session, Job], None]:
    """Return a check that the search was submitted with an option."""

    def check(session: Session, job: Job) -> None:
        if not specification_values(job.kind, job.specification).get(option):
            flag = f"--{option.replace('_', '-')}"
            raise UsageError(reason=f"Job {job.id} was submitted without {flag}. Submit it again with {flag}.")

    return check


def _requires_statistics(session: Session, job: Job) -> None:
    layers = searched_layers(session, job.id)
    if layers and not session.scalar(select(exists().where(UnitStatistics.layer_id == layers[0].id))):
        raise UsageError(
            reason=f"Job {job.id} was computed by a version of unitscope without statistics. Submit it again."
        )


def _ranked(
    title: str, row: type[Any], model: Ranked, key: Sequence[Column], check: Callable[[Session, Job], None]
) -> ResultTable[Any]:
    return ResultTable(
        kind="top9",
        title=title,
        row=row,
        source=_with_layer_and_image(model),
        columns=columns_of(row, model, ENTITIES),
        job=SearchedLayer.job_id,
        key=key,
        filters=RANKED_FILTERS,
        conditions=_filter_conditions(model),
        check=check,
    )


Top, Bottom, ByClass = TopActivation, BottomActivation, ClassActivation

TOP_ACTIVATIONS: ResultTable[TopActivationRow] = _ranked(
    "top activations", TopActivationRow, Top, (Top.layer_id, Top.unit, Top.rank), lambda session, job: None
)
BOTTOM_ACTIVATIONS: ResultTable[BottomActivationRow] = _ranked(
    "bottom activations",
    BottomActivationRow,
    Bottom,
    (Bottom.layer_id, Bottom.unit, Bottom.rank),
    _requires("bottom"),
)
CLASS_ACTIVATIONS: ResultTable[ClassActivationRow] = _ranked(
    "top activations by class",
    ClassActivationRow,
    ByClass,
    (ByClass.layer_id, ByClass.unit, ByClass.class_index, ByClass.rank),
    _requires("per_class"),
)
UNIT_STATISTICS: ResultTable[UnitStatisticsRow] = ResultTable(
    kind="top9",
    title="unit statistics",
    row=UnitStatisticsRow,
    source=join(UnitStatistics, SearchedLayer, SearchedLayer.id == UnitStatistics.layer_id),
    columns=columns_of(UnitStatisticsRow, UnitStatistics, ENTITIES),
    job=SearchedLayer.job_id,
    key=(UnitStatistics.layer_id, UnitStatistics.unit),
    filters=frozenset({"layer", "units"}),
    conditions=_filter_conditions(UnitStatistics),
    check=_requires_statistics,
)
