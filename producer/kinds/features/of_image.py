"""The feature maps of an image, for its page of the gallery."""

from __future__ import annotations

from sqlalchemy import select

from producer.gallery.page import Gallery, Link, Links
from producer.gallery.templates import picture
from shared.jobs.tables import Job
from shared.kinds.features.tables import FeatureImage
from shared.kinds.registry import describe

JOBS = 12


def image_links(gallery: Gallery, image_id: int) -> Links:
    """Return links to the pictures of the image's feature maps, the newest job first."""
    row = FeatureImage
    query = (
        select(row.job_id, row.picture_path, Job.kind, Job.specification)
        .join(Job, Job.id == row.job_id)
        .where(row.image_id == image_id)
        .order_by(row.job_id.desc(), row.image_number)
        .limit(JOBS)
    )
    with gallery.database.read() as session:
        rows = session.execute(query).all()
    return Links(
        "Feature maps",
        [
            Link(
                describe(row.kind, row.specification),
                picture(row.picture_path),
                f"job {row.job_id}: a picture of every layer",
                row.picture_path,
            )
            for row in rows
        ],
    )
