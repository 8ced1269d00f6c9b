"""Result tables of an invariance job: a row for each transformed image and layer, and one for each image."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_
from sqlalchemy.orm import Session, join

from producer.results.filters import Filters
from producer.results.tables import Column, ResultTable, columns_of
from shared.database.catalogue import class_index
from shared.database.datasets import Dataset, Image
from shared.jobs.tables import Job
from shared.kinds.invariance.tables import InvarianceDistance, InvarianceImage, InvariancePrediction
from shared.kinds.registry import specification_values
from unitscope.errors import NoSuchModule


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


def _of_images(session: Session, job: Job, filters: Filters) -> list[ColumnElement[bool]]:
    """Turn filters into conditions on ``Image``."""
    clauses: list[ColumnElement[bool]] = []
    if filters.images:
        clauses.append(Image.id.in_(filters.images))
    if filters.class_name is not None:
        dataset = session.get_one(Dataset, job.dataset_id)
        clauses.append(Image.class_index == class_index(dataset, filters.class_name))
    return clauses


def _conditions(session: Session, job: Job, filters: Filters) -> list[ColumnElement[bool]]:
    """Turn filters into conditions on ``Image`` and ``InvarianceDistance``."""
    clauses = _of_images(session, job, filters)
    if filters.layer is not None:
        clauses.append(InvarianceDistance.layer == layer_of(job, filters.layer))
    return clauses


def layer_of(job: Job, name: str) -> str:
    """Return the layer of the job that a name, a number or a module path refers to.

    Raises
    ------
    NoSuchModule
    """
    layers = specification_values(job.kind, job.specification).get("layers") or []
    labels = [str(layer["layer"]) for layer in layers]
    for layer in layers:
        if name in (layer["layer"], layer["path"], *_number(str(layer["layer"]))):
            return str(layer["layer"])
    raise NoSuchModule(network=f"Job {job.id}", layer=name, choices=", ".join(labels))


def _number(layer: str) -> list[str]:
    """Return the number in a name such as conv5 or fc7."""
    return [layer.removeprefix(kind) for kind in ("conv", "fc") if layer.removeprefix(kind).isdigit()]


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
    conditions=_of_images,
)
