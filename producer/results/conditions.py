"""Filters as conditions on the images of a result table, and on the layers of a job."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session

from producer.results.filters import Filters
from shared.database.catalogue import class_index
from shared.database.datasets import Dataset, Image
from shared.jobs.tables import Job
from shared.kinds.registry import specification_values
from unitscope.errors import NoSuchModule


def of_images(session: Session, job: Job, filters: Filters) -> list[ColumnElement[bool]]:
    """Turn the filters of images into conditions on ``Image``.

    Raises
    ------
    NoSuchClass
    """
    clauses: list[ColumnElement[bool]] = []
    if filters.images:
        clauses.append(Image.id.in_(filters.images))
    if filters.class_name is not None:
        dataset = session.get_one(Dataset, job.dataset_id)
        clauses.append(Image.class_index == class_index(dataset, filters.class_name))
    return clauses


def layer_of(job: Job, name: str) -> dict[str, Any]:
    """Return the layer in the job's specification that a name, a number or a module path refers to.

    Raises
    ------
    NoSuchModule
    """
    layers: list[dict[str, Any]] = specification_values(job.kind, job.specification).get("layers") or []
    names = {name, f"conv{name}", f"fc{name}"}
    for layer in layers:
        if names & {layer["layer"], layer["path"]}:
            return layer
    choices = ", ".join(dict.fromkeys(str(layer["layer"]) for layer in layers))
    raise NoSuchModule(network=f"Job {job.id}", layer=name, choices=choices)
