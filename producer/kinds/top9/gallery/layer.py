"""The page of a searched layer: a grid of its units."""

from __future__ import annotations

from typing import Any

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from producer.gallery.page import Gallery, Parameters
from producer.gallery.templates import job_link
from producer.kinds.top9.gallery.units import ORDERS, STATES, Selection, read_cards
from producer.kinds.top9.layers import searched_layers
from producer.results.jobs import incomplete, job_of_kind
from shared.database.datasets import Dataset
from shared.jobs.tables import Job
from shared.kinds.top9.tables import SearchedLayer, UnitLabel, UnitSelectivity
from unitscope.errors import NoSuchModule

UNITS = 60  # of a page


def find_job_and_layer(session: Session, job_id: int, name: str) -> tuple[Job, SearchedLayer, list[SearchedLayer]]:
    """Return a search, its layer that a name or module path refers to, and all its layers.

    Raises
    ------
    NoSuchJob, JobNotOfKind, NoSuchModule
    """
    job = job_of_kind(session, job_id, "top9", "layers with units")
    layers = searched_layers(session, job_id)
    for layer in layers:
        if name in (layer.layer, layer.layer_path):
            return job, layer, layers
    choices = ", ".join(layer.layer for layer in layers) or "none yet"
    raise NoSuchModule(network=f"Job {job_id}", layer=name, choices=choices)


def read_layer(gallery: Gallery, parameters: Parameters) -> dict[str, Any]:
    """Read the page ``/jobs/ID/layers/LAYER``.

    Raises
    ------
    NoSuchJob, JobNotOfKind, NoSuchModule, UsageError
    """
    selection = Selection(
        parameters.choice("order", ORDERS),
        parameters.choice("state", STATES),
        parameters.text("class"),
        parameters.text("label"),
        parameters.text("text"),
        parameters.after(),
    )
    with gallery.database.read() as session:
        job, layer, layers = find_job_and_layer(session, parameters.path["job_id"], parameters.path["layer"])
        cards, end, count = read_cards(session, layer, selection, UNITS)
        classes = session.get_one(Dataset, job.dataset_id).class_names
        has_classes = session.scalar(select(exists().where(UnitSelectivity.layer_id == layer.id)))
        has_labels = session.scalar(select(exists().where(UnitLabel.layer_id == layer.id)))
        missing = incomplete(session, job)
    after = f"{end[0]!r},{end[1]}" if end else None
    address = job_link(job.id, "layers", layer.layer)
    return {
        "title": f"{layer.layer} of job {job.id}",
        "job_id": job.id,
        "layer": layer.layer,
        "layer_path": layer.layer_path,
        "projection": layer.projection,
        "layers": [other.layer for other in layers],
        "units": cards,
        "count": count,
        "order": selection.order,
        "state": selection.state,
        "class_name": selection.class_name,
        "label": selection.label,
        "text": selection.text,
        "classes": classes if has_classes else [],
        "has_labels": bool(has_labels),
        "incomplete": str(missing) if missing else None,
        "address": address,
        "after": after,
        "next": parameters.link(after=after) if after else None,
        "first": parameters.link(after=None) if selection.after else None,
    }
