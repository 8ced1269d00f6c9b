"""Pictures that an invariance job's page of the gallery leads to."""

from __future__ import annotations

from sqlalchemy import select

from producer.gallery.page import Gallery, Link
from producer.gallery.templates import picture
from shared.database.datasets import Image
from shared.kinds.invariance.tables import InvarianceImage, InvarianceJob

IMAGES = 24


def links(gallery: Gallery, job_id: int) -> list[Link]:
    """Return links to the figure over all images, and to those of the first images."""
    query = (
        select(InvarianceImage, Image.class_name)
        .join(Image, Image.id == InvarianceImage.image_id)
        .where(InvarianceImage.job_id == job_id, InvarianceImage.picture_path.is_not(None))
        .order_by(InvarianceImage.image_id)
        .limit(IMAGES)
    )
    with gallery.database.read() as session:
        job = session.get(InvarianceJob, job_id)
        rows = session.execute(query).all()
    found = [Link("All images", picture(job.figure_path), picture=job.figure_path)] if job else []
    for row, class_name in rows:
        assert row.picture_path  # noqa: S101 - by the condition
        title, remark = f"Image {row.image_id}, {class_name}", f"answered as {row.clear_class}"
        found.append(Link(title, picture(row.picture_path), remark, row.picture_path))
    return found
