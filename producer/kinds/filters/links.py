"""Pictures that a page of filters in the gallery leads to."""

from __future__ import annotations

from sqlalchemy import select

from producer.gallery.page import Gallery, Link
from producer.gallery.templates import picture
from shared.kinds.filters.tables import FilterLayer, FiltersJob

LAYERS = 60


def links(gallery: Gallery, job_id: int) -> list[Link]:
    """Return links to the figure, and to the filters of each layer."""
    query = select(FilterLayer).where(FilterLayer.job_id == job_id)
    order = (FilterLayer.network_number, FilterLayer.layer_number)
    with gallery.database.read() as session:
        job = session.get(FiltersJob, job_id)
        layers = session.scalars(query.order_by(*order).limit(LAYERS)).all()
    found = [Link("First layer", picture(job.figure_path), picture=job.figure_path)] if job else []
    for layer in layers:
        remark = f"{layer.filters:,} filters, {layer.dead:,} dead"
        found.append(
            Link(f"{layer.layer} of {layer.network}", picture(layer.picture_path), remark, layer.picture_path)
        )
    return found
