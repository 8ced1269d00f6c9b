"""The first page: what runs now, what was found last, jobs, training runs, and data sets."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from producer.datasets.listing import list_datasets
from producer.gallery.page import Gallery, Link, Page, Parameters
from producer.kinds.descriptor import load
from producer.kinds.registry import producer_kinds
from producer.results.progress import list_jobs
from producer.results.running import active_jobs
from shared.database.datasets import Dataset
from shared.database.networks import TrainingRun
from shared.jobs.tables import Job, JobState

LATEST = 8  # jobs, and training runs
SHOWN_JOBS = 3  # of which pictures are shown
SHOWN_PICTURES = 6


def read(gallery: Gallery, parameters: Parameters) -> dict[str, Any]:
    """Read the first page."""
    jobs = list_jobs(gallery.database, None, None, LATEST)
    return {
        "title": "Gallery",
        **read_live(gallery, parameters),
        "found": _found(gallery),
        "jobs": jobs,
        "runs": _runs(gallery),
        "datasets": list_datasets(gallery.database),
    }


def read_live(gallery: Gallery, parameters: Parameters) -> dict[str, Any]:
    """Read the part of the first page that is read again every two seconds."""
    active, count = active_jobs(gallery.database)
    return {"active": active, "active_count": count}


def _found(gallery: Gallery) -> list[dict[str, Any]]:
    """Return pictures of the jobs that were done last."""
    found: list[dict[str, Any]] = []
    for job in list_jobs(gallery.database, None, JobState.DONE, LATEST):
        kind = producer_kinds().get(job["kind"])
        if kind is None or kind.links is None:
            continue
        links: list[Link] = [link for link in load(kind.links)(gallery, job["id"]) if link.picture]
        room = SHOWN_PICTURES - sum(len(group["links"]) for group in found)
        if links and room > 0:
            found.append({"job_id": job["id"], "what": job["what"], "links": links[-room:]})
        if len(found) == SHOWN_JOBS:
            break
    return found


def _runs(gallery: Gallery) -> list[dict[str, Any]]:
    columns = (TrainingRun.job_id, TrainingRun.network, TrainingRun.epochs, TrainingRun.best_epoch)
    query = select(*columns, TrainingRun.best_accuracy, Dataset.name.label("dataset"), Job.state)
    query = query.join(Dataset, Dataset.id == TrainingRun.dataset_id).join(Job, Job.id == TrainingRun.job_id)
    with gallery.database.read() as session:
        rows = session.execute(query.order_by(TrainingRun.job_id.desc()).limit(LATEST))
        return [dict(row) for row in rows.mappings()]


HOME_PAGES = (
    Page("/", "gallery/templates/home.html.j2", read),
    Page("/live", "gallery/templates/home_live.html.j2", read_live),
)
