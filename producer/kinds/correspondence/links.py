"""Pictures that a correspondence job's page of the gallery leads to."""

from __future__ import annotations

from sqlalchemy import select

from producer.gallery.page import Gallery, Link
from producer.gallery.templates import picture
from shared.kinds.correspondence.tables import CorrespondenceImage, CorrespondenceJob

IMAGES = 24


def links(gallery: Gallery, job_id: int) -> list[Link]:
    """Return links to the figure, and to the masked parts of the first images."""
    query = (
        select(CorrespondenceImage.image_id, CorrespondenceImage.picture_path)
        .where(CorrespondenceImage.job_id == job_id)
        .distinct()
        .order_by(CorrespondenceImage.image_id)
        .limit(IMAGES)
    )
    with gallery.database.read() as session:
        job = session.get(CorrespondenceJob, job_id)
        rows = session.execute(query).all()
    found = [Link("Distances by layer", picture(job.figure_path), picture=job.figure_path)] if job else []
    return found + [Link(f"Masks of image {image}", picture(path), picture=path) for image, path in rows]
