"""Result table of a job of feature maps: a row for each image and layer."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session, join, outerjoin

from producer.results.filters import Filters
from producer.results.tables import ResultTable, columns_of
from shared.database.catalogue import class_index
from shared.database.datasets import Dataset, Image
from shared.jobs.tables import Job
from shared.kinds.features.tables import FeatureImage, FeatureMap
from unitscope.errors import NoSuchModule


@dataclass(frozen=True)
class FeatureMapRow:
    """A layer's feature maps of an image: a row of the view ``feature_maps``."""

    job_id: int
    image_number: int
    image_id: int | None
    image_path: str
    class_name: str | None
    layer_number: int
    layer: str
    layer_path: str
    call: int
    module: str
    channels: int
    rows: int
    cols: int
    mean: float
    minimum: float
    maximum: float
    positive_share: float
    silent_channels: int
    picture_path: str
    channels_path: str | None
    array_path: str | None


def _conditions(session: Session, job: Job, filters: Filters) -> list[ColumnElement[bool]]:
    clauses: list[ColumnElement[bool]] = []
    if filters.layer is not None:
        of_layer = FeatureMap.layer.in_((filters.layer, f"conv{filters.layer}")) | (
            FeatureMap.layer_path == filters.layer
        )
        of_job = select(FeatureMap.layer).where(FeatureMap.job_id == job.id)
        if session.scalars(of_job.where(of_layer).limit(1)).first() is None:
            known = of_job.group_by(FeatureMap.layer).order_by(func.min(FeatureMap.layer_number))
            choices = ", ".join(session.scalars(known)) or "none yet"
            raise NoSuchModule(network=f"Job {job.id}", layer=filters.layer, choices=choices)
        clauses.append(of_layer)
    if filters.images:
        clauses.append(FeatureImage.image_id.in_(filters.images))
    if filters.class_name is not None:
        dataset = session.get_one(Dataset, job.dataset_id)
        clauses.append(Image.class_index == class_index(dataset, filters.class_name))
    return clauses


OF_IMAGE = ("image_id", "picture_path", "array_path")

FEATURE_MAPS: ResultTable[FeatureMapRow] = ResultTable(
    kind="features",
    title="feature maps",
    row=FeatureMapRow,
    source=outerjoin(
        join(
            FeatureMap,
            FeatureImage,
            (FeatureImage.job_id == FeatureMap.job_id) & (FeatureImage.image_number == FeatureMap.image_number),
        ),
        Image,
        Image.id == FeatureImage.image_id,
    ),
    columns=columns_of(
        FeatureMapRow,
        FeatureMap,
        {
            **{name: getattr(FeatureImage, name) for name in OF_IMAGE},
            "image_path": func.coalesce(Image.path, FeatureImage.file),
            "class_name": Image.class_name,
        },
    ),
    job=FeatureMap.job_id,
    key=(FeatureMap.image_number, FeatureMap.layer_number),
    filters=frozenset({"layer", "class_name", "images"}),
    conditions=_conditions,
)
