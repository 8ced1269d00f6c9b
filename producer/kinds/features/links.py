"""Pictures that a page of feature maps in the gallery leads to."""

from __future__ import annotations

from sqlalchemy import select

from producer.gallery.page import Gallery, Link
from producer.gallery.templates import picture
from shared.kinds.features.tables import FeatureImage, FeaturesJob

IMAGES = 24


def links(gallery: Gallery, job_id: int) -> list[Link]:
    """Return links to the sheet, and to the layers of the first images."""
    query = select(FeatureImage).where(FeatureImage.job_id == job_id)
    with gallery.database.read() as session:
        job = session.get(FeaturesJob, job_id)
        images = session.scalars(query.order_by(FeatureImage.image_number).limit(IMAGES)).all()
    found = [Link("Images by layers", picture(job.sheet_path), picture=job.sheet_path)] if job else []
    for image in images:
        title = f"Image {image.image_id}" if image.file is None else image.file
        found.append(Link(title, picture(image.picture_path), picture=image.picture_path))
    return found
