"""Result tables of a top-9 search: top activations, bottom, by class, and statistics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, FromClause, exists, select
from sqlalchemy.orm import Session, join

from producer.kinds.top9.layers import searched_layers
from producer.results.filters import Filters
from producer.results.tables import Column, ResultTable, columns_of
from shared.database.catalogue import class_index
from shared.database.datasets import Dataset, Image
from shared.errors import UsageError
from shared.jobs.tables import Job
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
}


@dataclass(frozen=True)
class BottomActivationRow:
    """One of the images with a unit's lowest spatial minima: a row of the view ``bottom_activations``."""

    job_id: int
    layer: str
    layer_path: str
    unit: int
    rank: int
    activation: float
    image_id: int
    image_path: str
    class_name: str
    row: int
    col: int


@dataclass(frozen=True)
class TopActivationRow(BottomActivationRow):
    """One of the images that fire a unit most: a row of the view ``top_activations``."""

    patch_path: str
    projection_path: str
    projection_scale: float
    tied: bool | None


@dataclass(frozen=True)
class ClassActivationRow:
    """One of the images of a class that fire a unit most: a row of the view ``class_activations``."""

    job_id: int
    layer: str
    layer_path: str
    unit: int
    class_name: str
    rank: int
    activation: float
    image_id: int
    image_path: str
    row: int
    col: int


@dataclass(frozen=True)
class UnitStatisticsRow:
    """A unit's maxima over all images: a row of the view ``unit_statistics``."""

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


def _with_layer_and_image(of: Ranked) -> FromClause:
    with_layer = join(of, SearchedLayer, SearchedLayer.id == of.layer_id)
    return join(with_layer, Image, Image.id == of.image_id)


def _of_layers(of: type[Any]) -> Callable[[Session, Job, Filters], list[ColumnElement[bool]]]:
    """The conditions of layers and units, and of images and ranks where there are such."""

    def conditions(session: Session, job: Job, filters: Filters) -> list[ColumnElement[bool]]:
        layers = searched_layers(session, job.id, filters.layer, filters.units)
        found: list[ColumnElement[bool]] = [of.layer_id.in_([layer.id for layer in layers])]
        if filters.units:
            found.append(of.unit.in_(filters.units))
        if filters.images:
            found.append(of.image_id.in_(filters.images))
        if filters.ranks:
            found.append(of.rank.in_(filters.ranks))
        if filters.class_name is not None:
            dataset = session.get_one(Dataset, job.dataset_id)
            found.append(Image.class_index == class_index(dataset, filters.class_name))
        return found

    return conditions


def _requires(option: str) -> Callable[[Session, Job], None]:
    """The check that a search was asked for a ranking."""

    def check(session: Session, job: Job) -> None:
        if not job.specification.get(option):
            flag = f"--{option.replace('_', '-')}"
            raise UsageError(reason=f"Job {job.id} was submitted without {flag}: submit it again with it.")

    return check


def _requires_statistics(session: Session, job: Job) -> None:
    layers = searched_layers(session, job.id)
    if layers and not session.scalar(select(exists().where(UnitStatistics.layer_id == layers[0].id))):
        raise UsageError(reason=f"Job {job.id} was made before there were statistics: submit it again.")


def _ranked(
    title: str, row: type[Any], of: Ranked, key: Sequence[Column], check: Callable[[Session, Job], None]
) -> ResultTable[Any]:
    return ResultTable(
        kind="top9",
        title=title,
        row=row,
        source=_with_layer_and_image(of),
        columns=columns_of(row, of, ENTITIES),
        job=SearchedLayer.job_id,
        key=key,
        filters=RANKED_FILTERS,
        conditions=_of_layers(of),
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
    title="statistics of units",
    row=UnitStatisticsRow,
    source=join(UnitStatistics, SearchedLayer, SearchedLayer.id == UnitStatistics.layer_id),
    columns=columns_of(UnitStatisticsRow, UnitStatistics, ENTITIES),
    job=SearchedLayer.job_id,
    key=(UnitStatistics.layer_id, UnitStatistics.unit),
    filters=frozenset({"layer", "units"}),
    conditions=_of_layers(UnitStatistics),
    check=_requires_statistics,
)
