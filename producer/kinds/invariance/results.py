"""Result tables of an invariance job: a row for each transformed image and layer, and one for each image."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_
from sqlalchemy.orm import Session, join

from producer.results.conditions import layer_of, of_images
from producer.results.filters import Filters
from producer.results.tables import Column, ResultTable, columns_of
from shared.database.datasets import Image
from shared.jobs.tables import Job
from shared.kinds.invariance.tables import InvarianceDistance, InvarianceImage, InvariancePrediction


@dataclass(frozen=True)
class InvarianceRow:
    """A transformed image and a layer: a row of the view ``invariance``."""

    image_id: int
    image_path: str
    class_name: str
    transformation: str
    value: float
    layer: str
    distance: float
    relative_distance: float | None
    probability: float
    answer_class: str


@dataclass(frozen=True)
class InvarianceImageRow:
    """An image: a row of the view ``invariance_images``."""

    image_id: int
    image_path: str
    class_name: str
    clear_probability: float
    clear_class: str
    picture_path: str | None


def _conditions(session: Session, job: Job, filters: Filters) -> list[ColumnElement[bool]]:
    """Turn filters into conditions on ``Image`` and ``InvarianceDistance``."""
    clauses = of_images(session, job, filters)
    if filters.layer is not None:
        clauses.append(InvarianceDistance.layer == layer_of(job, filters.layer)["layer"])
    return clauses


IMAGE: dict[str, Column] = {"image_path": Image.path, "class_name": Image.class_name}

INVARIANCE: ResultTable[InvarianceRow] = ResultTable(
    kind="invariance",
    title="invariance",
    row=InvarianceRow,
    source=join(
        join(InvarianceDistance, Image, Image.id == InvarianceDistance.image_id),
        InvariancePrediction,
        and_(
            InvariancePrediction.job_id == InvarianceDistance.job_id,
            InvariancePrediction.image_id == InvarianceDistance.image_id,
            InvariancePrediction.transformation == InvarianceDistance.transformation,
            InvariancePrediction.value == InvarianceDistance.value,
        ),
    ),
    columns=columns_of(
        InvarianceRow,
        InvarianceDistance,
        {
            **IMAGE,
            "probability": InvariancePrediction.probability,
            "answer_class": InvariancePrediction.class_name,
        },
    ),
    job=InvarianceDistance.job_id,
    key=(
        InvarianceDistance.image_id,
        InvarianceDistance.transformation,
        InvarianceDistance.value,
        InvarianceDistance.layer,
    ),
    filters=frozenset({"layer", "class_name", "images"}),
    conditions=_conditions,
)
INVARIANCE_IMAGES: ResultTable[InvarianceImageRow] = ResultTable(
    kind="invariance",
    title="images",
    row=InvarianceImageRow,
    source=join(InvarianceImage, Image, Image.id == InvarianceImage.image_id),
    columns=columns_of(InvarianceImageRow, InvarianceImage, IMAGE),
    job=InvarianceImage.job_id,
    key=(InvarianceImage.image_id,),
    filters=frozenset({"class_name", "images"}),
    conditions=of_images,
)
