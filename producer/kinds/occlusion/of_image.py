"""The sweeps of an image, for its page of the gallery."""

from __future__ import annotations

from sqlalchemy import select

from producer.gallery.page import Gallery, Link, Links
from producer.gallery.templates import job_link, percent
from shared.kinds.occlusion.tables import OcclusionMap

SWEEPS = 12


def image_links(gallery: Gallery, image_id: int) -> Links:
    """Return links to the sweeps of the image, the newest job first, with their figures."""
    row = OcclusionMap
    columns = (row.job_id, row.layer, row.unit, row.clear_probability, row.min_probability, row.picture_path)
    query = select(*columns).where(row.image_id == image_id).order_by(row.job_id.desc()).limit(SWEEPS)
    with gallery.database.read() as session:
        rows = session.execute(query).all()
    return Links(
        "Parts of it that the prediction depends on",
        [
            Link(
                f"Occlusion of {row.layer}, unit {row.unit}",
                job_link(row.job_id, "occlusion", image_id),
                f"job {row.job_id}: probability of the class from {percent(row.clear_probability)} down to "
                f"{percent(row.min_probability)}",
                row.picture_path,
            )
            for row in rows
        ],
    )
