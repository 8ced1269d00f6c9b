"""Result tables of an occlusion sweep: a row for each image, and one for each position on request."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session, join

from producer.results.conditions import of_images
from producer.results.filters import Filters
from producer.results.tables import Column, ResultTable, columns_of
from shared.database.datasets import Image
from shared.errors import UsageError
from shared.jobs.tables import Job
from shared.kinds.occlusion.tables import OcclusionMap, OcclusionPosition
from shared.kinds.registry import specification_values
from unitscope.errors import NoSuchLayer


@dataclass(frozen=True)
class OcclusionMapRow:
    """The result of a sweep over an image: columns of the view ``occlusion_maps``, as many as fit on a line."""

    image_id: int
    image_path: str
    class_name: str
    layer: str
    unit: int
    clear_activation: float
    min_activation: float
    clear_class: str
    clear_probability: float
    min_probability: float
    min_probability_row: int
    min_probability_col: int
    class_changes: int
    positions: int
    correlation: float | None
    array_path: str
    picture_path: str | None


@dataclass(frozen=True)
class OcclusionPositionRow:
    """A position of the square on an image: a row of the view ``occlusion_positions``."""

    job_id: int
    image_id: int
    image_path: str
    class_name: str
    row: int
    col: int
    activation: float
    probability: float
    target_probability: float | None
    answer_class: str


def _conditions(session: Session, job: Job, filters: Filters) -> list[ColumnElement[bool]]:
    """Turn filters into conditions on ``OcclusionMap`` and ``Image``, which both tables join."""
    clauses = of_images(session, job, filters)
    if filters.layer is not None:
        values = specification_values(job.kind, job.specification)
        layer, path = values.get("layer"), values.get("path")
        if filters.layer not in (layer, path) and f"conv{filters.layer}" != layer:
            raise NoSuchLayer(network=f"Job {job.id}", layer=filters.layer, choices=layer)
    if filters.units:
        clauses.append(OcclusionMap.unit.in_(filters.units))
    return clauses


def _requires_positions(session: Session, job: Job) -> None:
    if not specification_values(job.kind, job.specification).get("positions"):
        raise UsageError(
            reason=f"Job {job.id} was submitted without --positions. Submit it again with --positions."
        )


IMAGE: dict[str, Column] = {"image_path": Image.path, "class_name": Image.class_name}
FILTERS = frozenset({"layer", "units", "class_name", "images"})

OCCLUSION_MAPS: ResultTable[OcclusionMapRow] = ResultTable(
    kind="occlusion",
    title="occlusion maps",
    row=OcclusionMapRow,
    source=join(OcclusionMap, Image, Image.id == OcclusionMap.image_id),
    columns=columns_of(OcclusionMapRow, OcclusionMap, IMAGE),
    job=OcclusionMap.job_id,
    key=(OcclusionMap.image_id,),
    filters=FILTERS,
    conditions=_conditions,
)
OCCLUSION_POSITIONS: ResultTable[OcclusionPositionRow] = ResultTable(
    kind="occlusion",
    title="occlusion positions",
    row=OcclusionPositionRow,
    source=join(
        join(OcclusionPosition, Image, Image.id == OcclusionPosition.image_id),
        OcclusionMap,
        (OcclusionMap.job_id == OcclusionPosition.job_id) & (OcclusionMap.image_id == OcclusionPosition.image_id),
    ),
    columns=columns_of(
        OcclusionPositionRow, OcclusionPosition, {**IMAGE, "answer_class": OcclusionPosition.class_name}
    ),
    job=OcclusionPosition.job_id,
    key=(OcclusionPosition.image_id, OcclusionPosition.row, OcclusionPosition.col),
    filters=FILTERS,
    conditions=_conditions,
    check=_requires_positions,
)
