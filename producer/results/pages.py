"""Self-contained HTML pages, with all pictures inside the file."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, Template
from markupsafe import Markup
from sqlalchemy.orm import Session

from producer.results.jobs import Incomplete, find_job, incomplete
from shared.database.datasets import Dataset
from shared.database.networks import TrainingRun
from shared.errors import JobStateConflict, SummaryNotReadable
from shared.jobs.tables import Job
from shared.kinds.registry import describe, parse, read_summary
from shared.store.store import Store
from shared.text import printable

TYPES = {".png": "image/png", ".jpg": "image/jpeg"}


@dataclass(frozen=True)
class Report:
    """A job with its data set and training run: the variables that every page template has."""

    title: str
    job: Job
    dataset: Dataset
    specification: Any
    run: TrainingRun | None  # the run that produced the weights
    incomplete: Incomplete | None  # which results are missing; None if the job is done
    summary: dict[str, Any]  # key figures; empty if the job is not done, or they can't be read


def load_report(
    session: Session, job_id: int, has_rows: Callable[[Session], bool] = lambda session: False
) -> Report:
    """Load a job with its data set and training run.

    Parameters
    ----------
    has_rows
        Whether a job that is not done can be shown, because it has rows. By default it can't.

    Raises
    ------
    NoSuchJob
    JobStateConflict
        The job is not done, and can't be shown yet.
    """
    job = find_job(session, job_id)
    missing = incomplete(session, job)
    if missing and not has_rows(session):
        raise JobStateConflict(job_id=job_id, state=job.state, action="shown on a page before it has results")
    dataset = session.get_one(Dataset, job.dataset_id)
    specification: Any = parse(job.kind, job.specification)
    run_id = getattr(specification, "training_job_id", None)
    run = session.get(TrainingRun, run_id) if run_id else None
    title = describe(job.kind, job.specification)
    return Report(title, job, dataset, specification, run, missing, _summary(job))


def _summary(job: Job) -> dict[str, Any]:
    try:
        return read_summary(job.kind, job.summary)
    except SummaryNotReadable:
        return {}


def page_template(name: str) -> Template:
    """Load a template by its path in the package ``producer``; it escapes markup and control characters."""
    return _environment().get_template(name)


@cache
def _environment() -> Environment:
    return Environment(loader=PackageLoader("producer", ""), autoescape=True, finalize=_without_control)


def _without_control(value: Any) -> Any:
    return printable(value) if type(value) is str else value


def inline(store: Store, path: str | None) -> Markup | str:
    """Return a picture of the store as a data URL, or an empty string for None.

    Raises
    ------
    ArtifactMissing
    """
    if path is None:
        return ""
    return data_url(store.locate(path).read_bytes(), Path(path).suffix)


def data_url(content: bytes, suffix: str = ".png") -> Markup:
    """Return the content of a file as a data URL, which has no character to escape."""
    form = TYPES.get(suffix, "application/octet-stream")  # a row may name a file that is no picture
    return Markup(f"data:{form};base64,{base64.b64encode(content).decode()}")  # noqa: S704
