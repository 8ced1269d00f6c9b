"""Reading what a top-9 search found besides its top activations: statistics, bottom, top images by class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, exists, select
from sqlalchemy.orm import Session

from producer.reading import job_of_kind, searched_layers
from shared.database import Database
from shared.errors import NoSuchClass, UsageError
from shared.models import (
    BottomActivation,
    ClassActivation,
    Dataset,
    Image,
    Job,
    SearchedLayer,
    UnitStatistics,
)

Rows = list[dict[str, Any]]
Columns = list[Any]

LAYER: Columns = [SearchedLayer.job_id, SearchedLayer.layer, SearchedLayer.layer_path]
IMAGE_PATH = Image.path.label("image_path")
STATISTICS = (
    "unit",
    "images",
    "mean",
    "minimum",
    "maximum",
    "fired_share",
    "q50",
    "q90",
    "q99",
    "q999",
    "histogram",
)


def statistics_rows(
    database: Database, job_id: int, layer: str | None = None, units: Sequence[int] | None = None
) -> Rows:
    """Rows of ``unit_statistics``, in the order of layer and unit.

    Raises
    ------
    NoSuchJob, NoSuchLayer, NoSuchUnit, UsageError
    """
    of = UnitStatistics
    columns: Columns = [getattr(of, name) for name in STATISTICS]
    query = select(*LAYER, *columns).select_from(of).join(SearchedLayer).order_by(of.unit)
    with database.read() as session:
        job_of_kind(session, job_id, "top9")
        layers = searched_layers(session, job_id, layer, units)
        if layers and not session.scalar(select(exists().where(of.layer_id == layers[0].id))):
            raise UsageError(reason=f"Job {job_id} was made before there were statistics: submit it again.")
        return _by_layer(session, query, of, layers, units)


def bottom_rows(
    database: Database, job_id: int, layer: str | None = None, units: Sequence[int] | None = None
) -> Rows:
    """Rows of ``bottom_activations``, in the order of layer, unit and rank.

    Raises
    ------
    NoSuchJob, NoSuchLayer, NoSuchUnit, UsageError
    """
    of = BottomActivation
    image: Columns = [of.image_id, IMAGE_PATH, Image.class_name]
    columns: Columns = [of.unit, of.rank, of.activation, *image, of.row, of.col]
    query = select(*LAYER, *columns).select_from(of).join(SearchedLayer).join(Image).order_by(of.unit, of.rank)
    with database.read() as session:
        _require(job_of_kind(session, job_id, "top9"), "bottom")
        layers = searched_layers(session, job_id, layer, units)
        return _by_layer(session, query, of, layers, units)


def class_rows(
    database: Database,
    job_id: int,
    layer: str | None = None,
    units: Sequence[int] | None = None,
    class_name: str | None = None,
) -> Rows:
    """Rows of ``class_activations``, in the order of layer, unit, class and rank.

    Raises
    ------
    NoSuchJob, NoSuchLayer, NoSuchUnit, NoSuchClass, UsageError
    """
    of = ClassActivation
    ranked: Columns = [of.unit, Image.class_name, of.rank, of.activation]
    columns: Columns = [*ranked, of.image_id, IMAGE_PATH, of.row, of.col]
    query = select(*LAYER, *columns).select_from(of).join(SearchedLayer).join(Image)
    query = query.order_by(of.unit, of.class_index, of.rank)
    with database.read() as session:
        job = job_of_kind(session, job_id, "top9")
        _require(job, "per_class")
        layers = searched_layers(session, job_id, layer, units)
        if class_name is not None:
            query = query.where(of.class_index == _class_index(session, job, class_name))
        return _by_layer(session, query, of, layers, units)


def _require(job: Job, option: str) -> None:
    """See that the search was asked for this ranking."""
    if not job.specification.get(option):
        flag = f"--{option.replace('_', '-')}"
        raise UsageError(reason=f"Job {job.id} was submitted without {flag}: submit it again with it.")


def _class_index(session: Session, job: Job, class_name: str) -> int:
    dataset = session.get_one(Dataset, job.dataset_id)
    if class_name not in dataset.class_names:
        raise NoSuchClass(dataset=dataset.name, name=class_name)
    return dataset.class_names.index(class_name)


def _by_layer(
    session: Session,
    query: Select[*tuple[Any, ...]],
    of: type[UnitStatistics] | type[BottomActivation] | type[ClassActivation],
    layers: Sequence[SearchedLayer],
    units: Sequence[int] | None,
) -> Rows:
    if units:
        query = query.where(of.unit.in_(units))
    rows: Rows = []
    for layer in layers:
        rows += [dict(row) for row in session.execute(query.where(of.layer_id == layer.id)).mappings()]
    return rows
