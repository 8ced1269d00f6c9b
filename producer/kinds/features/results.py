"""Result table of a job of feature maps: a row for each image and layer."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, func
from sqlalchemy.orm import Session, join, outerjoin

from producer.results.conditions import layer_of, of_images
from producer.results.filters import Filters
from producer.results.tables import ResultTable, columns_of
from shared.database.datasets import Image
from shared.jobs.tables import Job
from shared.kinds.features.tables import FeatureImage, FeatureMap


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
    clauses = of_images(session, job, filters)
    if filters.layer is not None:
        clauses.append(FeatureMap.layer_path == layer_of(job, filters.layer)["path"])
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
