"""Pictures that an evolution's page of the gallery leads to."""

from __future__ import annotations

from sqlalchemy import select

from producer.gallery.page import Gallery, Link
from producer.gallery.templates import picture
from shared.kinds.evolution.tables import EvolutionJob, EvolvedLayer


def links(gallery: Gallery, job_id: int) -> list[Link]:
    """Return links to the figure, the curve of settled units, and the units of each layer, as far as drawn."""
    query = select(EvolvedLayer).where(EvolvedLayer.job_id == job_id).order_by(EvolvedLayer.id)
    with gallery.database.read() as session:
        job = session.get(EvolutionJob, job_id)
        layers = session.scalars(query).all()
    paths = [("Units by epoch", job.figure_path), ("Settled units by epoch", job.curve_path)] if job else []
    paths += [(f"Units of {layer.layer}", layer.block_path) for layer in layers]
    return [Link(title, picture(path), picture=path) for title, path in paths if path]
