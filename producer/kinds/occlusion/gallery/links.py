"""What an occlusion sweep's page of the gallery leads to: its images, those first that change the most."""

from __future__ import annotations

from sqlalchemy import func, select

from producer.gallery.page import Gallery, Link
from producer.gallery.templates import job_link, percent
from shared.database.datasets import Image
from shared.kinds.occlusion.tables import OcclusionMap

IMAGES = 23  # with a page each; the list has all


def links(gallery: Gallery, job_id: int) -> list[Link]:
    """Return a link to the list of images, and to the images whose probability falls the most."""
    drop = OcclusionMap.clear_probability - OcclusionMap.min_probability
    of_job = OcclusionMap.job_id == job_id
    query = select(OcclusionMap, Image.class_name).join(Image, Image.id == OcclusionMap.image_id).where(of_job)
    with gallery.database.read() as session:
        count = session.scalar(select(func.count()).select_from(OcclusionMap).where(of_job)) or 0
        rows = session.execute(query.order_by(drop.desc(), Image.id).limit(IMAGES)).all()
    if not count:
        return []
    return [
        Link("All images", job_link(job_id, "occlusion"), f"{count:,}"),
        *(
            Link(
                f"Image {row.image_id}, {class_name}",
                job_link(job_id, "occlusion", row.image_id),
                f"probability {percent(row.clear_probability, 0)}, at the worst position "
                f"{percent(row.min_probability, 0)}",
                row.picture_path,
            )
            for row, class_name in rows
        ),
    ]
