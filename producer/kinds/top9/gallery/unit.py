"""The page of a unit: its top images with projections, statistics, classes and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from producer.gallery.descriptions import descriptions, from_specifications
from producer.gallery.page import Gallery, Parameters
from producer.gallery.pictures import image_link
from producer.gallery.templates import job_link
from producer.kept import Kept
from producer.kinds.top9.gallery.fields import field_in_image
from producer.kinds.top9.gallery.layer import find_job_and_layer
from producer.kinds.top9.gallery.units import state_of
from producer.kinds.top9.labels.results import UNIT_LABELS
from producer.kinds.top9.layers import network_description
from producer.kinds.top9.results import BOTTOM_ACTIVATIONS, CLASS_ACTIVATIONS, TOP_ACTIVATIONS, UNIT_STATISTICS
from producer.kinds.top9.selectivity import UNIT_SELECTIVITY
from producer.results.filters import Filters
from producer.results.jobs import incomplete
from producer.results.tables import ResultTable
from shared.database.connection import Database
from shared.database.datasets import Image
from shared.errors import UsageError
from shared.jobs.tables import Job
from shared.kinds.registry import describe, specification_values
from shared.kinds.top9.tables import SearchedLayer, SearchedUnit
from unitscope.description import LayerDescription
from unitscope.errors import NoSuchUnit

CLASSES = 5  # best classes, and classes of --per-class
OTHER_JOBS, LOOKED_AT = 20, 60
KEPT_NAMES = 2**18  # bytes
SQL = """SELECT rank, activation, class_name, image_path FROM top_activations
WHERE job_id = {job_id} AND layer = '{layer}' AND unit = {unit} ORDER BY rank"""

_network_names: Kept[tuple[int, str], str] = Kept(KEPT_NAMES, len)


def read_unit(gallery: Gallery, parameters: Parameters) -> dict[str, Any]:
    """Read the page ``/jobs/ID/layers/LAYER/units/U``.

    Raises
    ------
    NoSuchJob, JobNotOfKind, NoSuchModule, NoSuchUnit
    """
    number = parameters.path["unit"]
    with gallery.database.read() as session:
        job, layer, _ = find_job_and_layer(session, parameters.path["job_id"], parameters.path["layer"])
        unit = session.get(SearchedUnit, (layer.id, number))
        if unit is None:
            last = session.scalar(
                select(SearchedUnit.unit)
                .where(SearchedUnit.layer_id == layer.id)
                .order_by(SearchedUnit.unit.desc())
                .limit(1)
            )
            raise NoSuchUnit(layer=layer.layer, unit=number, last=-1 if last is None else last)
        described = _described(session, job, layer)
        missing = incomplete(session, job)
        beside = _beside(session, layer, number)
        others = _other_jobs(session, job, layer, number)
    filters = Filters(layer=layer.layer_path, units=[number])
    database, address = gallery.database, job_link(job.id, "layers", layer.layer)
    top = [asdict(row) for row in TOP_ACTIVATIONS.rows(database, job.id, filters)]
    bottom = _rows(BOTTOM_ACTIVATIONS, database, job.id, filters)
    per_class = _rows(CLASS_ACTIVATIONS, database, job.id, filters)
    size = specification_values(job.kind, job.specification)["network"]["image_size"]
    images = _images(gallery, [*top, *bottom, *per_class])
    for row in [*top, *bottom, *per_class]:
        row.update(_shown(row, images.get(row["image_id"]), described, size))
    statistics = _rows(UNIT_STATISTICS, database, job.id, filters)
    return {
        "title": f"Unit {number} of {layer.layer}, job {job.id}",
        "job_id": job.id,
        "what": describe(job.kind, job.specification),
        "layer": layer.layer,
        "layer_path": layer.layer_path,
        "unit": number,
        "state": state_of(unit),
        "patches_path": unit.patches_path,
        "projections_path": unit.projections_path,
        "projection": layer.projection,
        "incomplete": str(missing) if missing else None,
        "top": top,
        "bottom": bottom,
        "per_class": _by_class(per_class)[:CLASSES],
        "classes_found": len({row["class_name"] for row in per_class}),
        "statistics": statistics[0] if statistics else None,
        "classes": _rows(UNIT_SELECTIVITY, database, job.id, filters)[:CLASSES],
        "labels": _rows(UNIT_LABELS, database, job.id, filters),
        "receptive_field": described.receptive_field if described else None,
        "tokens": bool(described and described.form and described.form.kind == "tokens"),
        "others": others,
        "compared": f"{job.id}/{layer.layer}/{number}",
        "similar": f"{address}/units/{number}/similar" if layer.maxima_path and not missing else None,
        "previous": f"{address}/units/{beside[0]}" if beside[0] is not None else None,
        "next": f"{address}/units/{beside[1]}" if beside[1] is not None else None,
        "address": address,
        "sql": SQL.format(job_id=job.id, layer=layer.layer.replace("'", "''"), unit=number),
    }


def _rows(table: ResultTable[Any], database: Database, job_id: int, filters: Filters) -> list[dict[str, Any]]:
    """Return the rows of the unit; none if the search was submitted without them."""
    try:
        return [asdict(row) for row in table.rows(database, job_id, filters)]
    except UsageError:
        return []


def _described(session: Session, job: Job, layer: SearchedLayer) -> LayerDescription | None:
    description = network_description(session, job)
    layers = [*description.layers, *description.blocks] if description else []
    return next((described for described in layers if described.path == layer.layer_path), None)


def _images(gallery: Gallery, rows: Sequence[Mapping[str, Any]]) -> dict[int, Image]:
    ids = {row["image_id"] for row in rows}
    with gallery.database.read() as session:
        return {image.id: image for image in session.scalars(select(Image).where(Image.id.in_(ids)))}


def _shown(
    row: Mapping[str, Any], image: Image | None, layer: LayerDescription | None, size: int
) -> dict[str, Any]:
    """Return what a page shows of an image: its file, the searched box in it, and the receptive field."""
    if image is None:
        return {"image": None}
    box = image.box or (0, 0, image.width, image.height)
    field = field_in_image(layer, row["row"], row["col"], size, box)
    cell = row.get("picture_left") is not None
    return {
        "image": image_link(image.id, image.sha256),
        "image_page": f"/images/{image.id}",
        "width": image.width,
        "height": image.height,
        "object": image.box,
        "field": field,
        "picture": [row[f"picture_{side}"] for side in ("left", "top", "right", "bottom")] if cell else None,
    }


def _by_class(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Group the rows by class, the class with the strongest activation first."""
    classes: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        classes.setdefault(row["class_name"], []).append(row)
    strongest = sorted(classes.items(), key=lambda item: -item[1][0]["activation"])
    return [{"class_name": name, "rows": of_class} for name, of_class in strongest]


def _beside(session: Session, layer: SearchedLayer, unit: int) -> tuple[int | None, int | None]:
    """Return the units before and after this one among those that were searched."""
    units = select(SearchedUnit.unit).where(SearchedUnit.layer_id == layer.id).limit(1)
    before = units.where(SearchedUnit.unit < unit).order_by(SearchedUnit.unit.desc())
    return session.scalar(before), session.scalar(
        units.where(SearchedUnit.unit > unit).order_by(SearchedUnit.unit)
    )


def _other_jobs(session: Session, job: Job, layer: SearchedLayer, unit: int) -> list[dict[str, Any]]:
    """List other searches of the same unit: in other epochs, runs, and data sets.

    A module of the same path can be in another network; what is no search of this network is left out of the last
    ``LOOKED_AT``.
    """
    # Jobs are read afterwards: sorting them would read the specifications of all.
    searches = (
        select(SearchedLayer.job_id, SearchedLayer.layer)
        .join(SearchedUnit, (SearchedUnit.layer_id == SearchedLayer.id) & (SearchedUnit.unit == unit))
        .where(SearchedLayer.layer_path == layer.layer_path, SearchedLayer.job_id != job.id)
        .order_by(SearchedLayer.job_id.desc())
        .limit(LOOKED_AT)
    )
    candidates = session.execute(searches).all()
    networks = _networks(session, [job.id, *(job_id for job_id, _ in candidates)])
    found = [row for row in candidates if networks.get(row.job_id) == networks[job.id]][:OTHER_JOBS]
    texts = descriptions(session, [job_id for job_id, _ in found])
    return [
        {
            "job_id": job_id,
            "what": texts[job_id],
            "address": job_link(job_id, "layers", name, "units", unit),
            "compared": f"{job_id}/{name}/{unit}",
        }
        for job_id, name in found
        if job_id in texts  # else the job has been removed meanwhile
    ]


def _networks(session: Session, job_ids: Sequence[int]) -> dict[int, str]:
    """Return the names of the networks of searches."""
    return from_specifications(session, job_ids, _network_names, _network_name)


def _network_name(kind: str, specification: Any) -> str:
    return str(specification_values(kind, specification)["network"]["name"])
