"""The result table of a brightness job."""

from __future__ import annotations

from dataclasses import dataclass

from shared.kinds.brightness.tables import ImageBrightness
from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session, join

from producer.results.filters import Filters
from producer.results.tables import ResultTable
from shared.database.datasets import Image
from shared.jobs.tables import Job


@dataclass(frozen=True)
class BrightnessRow:
    """A row of the view ``brightness``: an image and its mean brightness."""

    image_id: int
    image_path: str
    class_name: str
    brightness: float


def _conditions(session: Session, job: Job, filters: Filters) -> list[ColumnElement[bool]]:
    return [Image.class_name == filters.class_name] if filters.class_name is not None else []


BRIGHTNESS: ResultTable[BrightnessRow] = ResultTable(
    kind="brightness",
    title="brightness",
    row=BrightnessRow,
    source=join(ImageBrightness, Image, Image.id == ImageBrightness.image_id),
    columns={
        "image_id": ImageBrightness.image_id,
        "image_path": Image.path,
        "class_name": Image.class_name,
        "brightness": ImageBrightness.brightness,
    },
    job=ImageBrightness.job_id,
    key=(ImageBrightness.image_id,),
    filters=frozenset({"class_name"}),
    conditions=_conditions,
)
