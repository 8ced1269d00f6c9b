"""The list of jobs, with filters."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from producer.gallery.page import Gallery, Page, Parameters
from producer.results.progress import list_jobs
from shared.database.datasets import Dataset
from shared.jobs.tables import JobState
from shared.kinds import kind_names

JOBS_OF_PAGE = 50


def read(gallery: Gallery, parameters: Parameters) -> dict[str, Any]:
    """Read the page ``/jobs``.

    Raises
    ------
    UsageError
    """
    kind = parameters.choice("kind", ("", *kind_names()))
    state = parameters.choice("state", ("", *JobState))
    dataset, text = parameters.text("dataset"), parameters.text("text", 200)
    before = parameters.optional_whole("before")
    rows = list_jobs(
        gallery.database,
        kind or None,
        state or None,
        JOBS_OF_PAGE + 1,
        dataset=dataset or None,
        text=text,
        before=before,
    )
    with gallery.database.read() as session:
        datasets = session.scalars(select(Dataset.name).order_by(Dataset.name)).all()
    jobs = rows[:JOBS_OF_PAGE]
    return {
        "title": "Jobs",
        "jobs": jobs,
        "kind": kind,
        "state": state,
        "dataset": dataset,
        "text": text,
        "kinds": kind_names(),
        "states": list(JobState),
        "datasets": datasets,
        "filtered": bool(kind or state or dataset or text),
        "next": parameters.link(before=jobs[-1]["id"]) if len(rows) > JOBS_OF_PAGE else None,
        "first": parameters.link(before=None) if before is not None else None,
    }


JOBS = Page("/jobs", "gallery/templates/jobs.html.j2", read)
