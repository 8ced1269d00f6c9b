"""The static HTML page of a job, as ``analyze results JOB --html`` writes it, up to a size.

It has its pictures and styles inside, so that its Content-Security-Policy allows them, and nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from producer.gallery.access.headers import DOCUMENT_POLICY
from producer.gallery.page import Gallery, Link
from producer.gallery.templates import job_link
from producer.gallery.turns import Turns
from producer.kinds.descriptor import load
from producer.kinds.registry import producer_kinds
from producer.results.jobs import find_job
from shared.errors import JobNotOfKind
from shared.jobs.tables import Job, JobState
from shared.store.store import Store

MOST_BYTES = 50_000_000  # of the files in one page

_turns = Turns(4, "reports are made")  # each takes up to three times ``MOST_BYTES`` of memory


class LimitedStore(Store):
    """A store whose files are put into one page: ``MOST_BYTES`` at most.

    Parameters
    ----------
    command
        What writes the page without this limit.
    """

    def __init__(self, root: Path, command: str) -> None:
        super().__init__(root)
        self.command, self.bytes = command, 0

    def locate(self, path: str) -> Path:
        file = super().locate(path)
        self.bytes += file.stat().st_size
        if self.bytes > MOST_BYTES:
            limit = f"{MOST_BYTES // 1_000_000} MB"
            raise HTTPException(
                413, f"This page has more than {limit} of pictures. `{self.command}` writes it as a file."
            )
        return file


async def answer_report(request: Request) -> Response:
    """Answer ``/jobs/ID/report``."""
    gallery: Gallery = request.app.state.gallery
    content = await run_in_threadpool(_report, gallery, request.path_params["job_id"])
    headers = {"Content-Security-Policy": DOCUMENT_POLICY}
    return Response(content, headers=headers, media_type="text/html; charset=utf-8")


def _report(gallery: Gallery, job_id: int) -> bytes:
    with _turns.one():
        # Names from files can have half of a surrogate pair, which UTF-8 doesn't have.
        return read_report(gallery, job_id).encode("utf-8", "replace")


def read_report(gallery: Gallery, job_id: int) -> str:
    """Render the static page of a job, as far as the job has come.

    Raises
    ------
    NoSuchJob, JobStateConflict, ArtifactMissing
    JobNotOfKind
        Jobs of this kind have no static page.
    HTTPException
        The page is too large (413).
    """
    with gallery.database.read() as session:
        job = find_job(session, job_id)
    kind = producer_kinds().get(job.kind)
    if kind is None or kind.page is None:
        raise JobNotOfKind(job_id=job_id, kind=job.kind, result="report")
    render: Any = load(kind.page)
    store = LimitedStore(gallery.store.root, report_command(job_id))
    text: str = render(gallery.database, store, job_id)
    return text


def report_command(job_id: int) -> str:
    """Return the command that writes the static page of a job as a file."""
    return f"analyze results {job_id} --html job{job_id}.html"


def job_links(gallery: Gallery, job: Job) -> list[Link]:
    """Return what a job's page leads to: the links of its kind, and its report if it has something to show."""
    kind = producer_kinds().get(job.kind)
    if kind is None:  # of another version
        return []
    links: list[Link] = load(kind.links)(gallery, job.id) if kind.links else []
    if kind.page and (links or job.state == JobState.DONE):
        links.append(Link("Report", job_link(job.id, "report"), "all tables and pictures on one page"))
    return links
