"""HTML pages that open by double click: everything is inside them."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, Template
from sqlalchemy.orm import Session

from producer.results.jobs import find_job
from shared.database.datasets import Dataset
from shared.database.networks import TrainingRun
from shared.errors import JobStateConflict
from shared.jobs.tables import Job, JobState
from shared.kinds.registry import describe, parse
from shared.store.store import Store

TYPES = {".png": "image/png", ".jpg": "image/jpeg"}


@dataclass(frozen=True)
class Reported:
    """A job that is done, and where its results come from: every page's variables."""

    title: str
    job: Job
    dataset: Dataset
    specification: Any
    run: TrainingRun | None  # that the weights come from


def reported(session: Session, job_id: int) -> Reported:
    """Return the job, and where its results come from.

    Raises
    ------
    NoSuchJob, JobStateConflict
        there is no such job, or it is not done.
    """
    job = find_job(session, job_id)
    if job.state != JobState.DONE:
        raise JobStateConflict(job_id=job_id, state=job.state, action="reported before it is done")
    dataset = session.get_one(Dataset, job.dataset_id)
    specification: Any = parse(job.kind, job.specification)
    run_id = getattr(specification, "training_job_id", None)
    run = session.get(TrainingRun, run_id) if run_id else None
    return Reported(describe(job.kind, job.specification), job, dataset, specification, run)


def page_template(name: str) -> Template:
    """Return a template by its path in this package; what is put into it is escaped."""
    return Environment(loader=PackageLoader("producer", ""), autoescape=True).get_template(name)


def inline(store: Store, path: str | None) -> str:
    """A picture of the store as a data URL; nothing for None.

    Raises
    ------
    ArtifactMissing
    """
    if path is None:
        return ""
    content = base64.b64encode(store.locate(path).read_bytes()).decode()
    return f"data:{TYPES[Path(path).suffix]};base64,{content}"
