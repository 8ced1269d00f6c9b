"""The list of a sweep's images, those first whose probability falls the most."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, or_, select

from producer.gallery.page import Gallery, Parameters
from producer.gallery.pictures import image_link
from producer.gallery.templates import job_link
from producer.results.jobs import incomplete, job_of_kind
from shared.database.datasets import Image
from shared.kinds.occlusion.tables import OcclusionMap
from shared.kinds.registry import describe

IMAGES = 60  # of a page
SIDE = 240  # pixels of a thumbnail
ORDERS = ("drop", "image")


def read_images(gallery: Gallery, parameters: Parameters) -> dict[str, Any]:
    """Read the page ``/jobs/ID/occlusion``.

    Raises
    ------
    NoSuchJob, JobNotOfKind, UsageError
    """
    order, class_name, after = parameters.choice("order", ORDERS), parameters.text("class"), parameters.after()
    drop = OcclusionMap.clear_probability - OcclusionMap.min_probability
    query = select(OcclusionMap, Image, drop.label("drop")).join(Image, Image.id == OcclusionMap.image_id)
    query = query.where(OcclusionMap.job_id == parameters.path["job_id"])
    if order == "drop":
        query = query.order_by(drop.desc(), Image.id)
        if after:
            query = query.where(or_(drop < after[0], and_(drop == after[0], Image.id > after[1])))
    else:
        query = query.order_by(Image.id)
        if after:
            query = query.where(Image.id > after[1])
    if class_name:
        query = query.where(Image.class_name == class_name)
    with gallery.database.read() as session:
        job = job_of_kind(session, parameters.path["job_id"], "occlusion", "occlusion maps")
        rows = session.execute(query.limit(IMAGES + 1)).all()
        swept = select(Image.class_name).join(OcclusionMap, OcclusionMap.image_id == Image.id)
        classes = session.scalars(
            swept.where(OcclusionMap.job_id == job.id).distinct().order_by(Image.class_name)
        ).all()
        missing = incomplete(session, job)
    images = [
        {
            "image_id": image.id,
            "image_path": image.path,
            "class_name": image.class_name,
            "width": image.width,
            "height": image.height,
            "box": None if job.specification.get("whole_files") else image.box,
            "layer": row.layer,
            "unit": row.unit,
            "clear_class": row.clear_class,
            "clear_probability": row.clear_probability,
            "min_probability": row.min_probability,
            "class_changes": row.class_changes,
            "positions": row.positions,
            "picture": image_link(image.id, image.sha256, SIDE),
            "address": job_link(job.id, "occlusion", image.id),
        }
        for row, image, _ in rows[:IMAGES]
    ]
    end = f"{rows[IMAGES - 1].drop!r},{images[-1]['image_id']}" if len(rows) > IMAGES else None
    return {
        "title": f"Images of job {job.id}",
        "job_id": job.id,
        "what": describe(job.kind, job.specification),
        "images": images,
        "classes": list(classes),
        "order": order,
        "class_name": class_name,
        "incomplete": str(missing) if missing else None,
        "address": job_link(job.id, "occlusion"),
        "next": parameters.link(after=end) if end else None,
        "first": parameters.link(after=None) if after else None,
    }
