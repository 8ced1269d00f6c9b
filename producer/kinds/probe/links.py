"""The picture that a probe job's page of the gallery leads to."""

from __future__ import annotations

from producer.gallery.page import Gallery, Link
from producer.gallery.templates import picture
from shared.kinds.probe.tables import ProbeJob


def links(gallery: Gallery, job_id: int) -> list[Link]:
    """Return a link to the curve of accuracy by depth, once it is drawn."""
    with gallery.database.read() as session:
        job = session.get(ProbeJob, job_id)
    return [Link("Accuracy by depth", picture(job.curve_path), picture=job.curve_path)] if job else []
