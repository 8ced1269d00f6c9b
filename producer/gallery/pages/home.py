"""The first page: data sets, and what runs and was found last."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select

from producer.gallery.page import Gallery, Page, Parameters
from producer.results.progress import list_jobs
from shared.database.datasets import Dataset, Image

LATEST = 12  # jobs


def read(gallery: Gallery, parameters: Parameters) -> dict[str, Any]:
    """Read the first page."""
    jobs = list_jobs(gallery.database, None, None, LATEST)
    return {"title": "Gallery", "jobs": jobs, "datasets": _datasets(gallery)}


def _datasets(gallery: Gallery) -> list[dict[str, Any]]:
    images = select(func.count()).where(Image.dataset_id == Dataset.id).scalar_subquery()
    with gallery.database.read() as session:
        rows = session.execute(select(Dataset, images).order_by(Dataset.name)).all()
    return [
        {"name": row.name, "kind": row.kind, "classes": len(row.class_names), "images": count}
        for row, count in rows
    ]


HOME = Page("/", "gallery/templates/home.html.j2", read)
