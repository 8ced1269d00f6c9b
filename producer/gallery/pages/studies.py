"""Pages of studies: the list, a study's table and jobs, and the page that ``analyze study show --html`` writes."""

from __future__ import annotations

import shlex
import threading
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from producer.gallery.access.headers import DOCUMENT_POLICY
from producer.gallery.page import Gallery, Page, Parameters
from producer.gallery.report import LimitedStore
from producer.gallery.turns import Turns
from producer.studies.formats import text_rows
from producer.studies.page import PageSection, render_study, study_sections
from producer.studies.parameters import as_text
from producer.studies.records import list_studies
from producer.studies.table import StudyState, load_study, study_table
from shared.kinds.registry import describe
from shared.text import printable

_one_at_a_time = threading.Lock()  # matplotlib, which draws a study's figure, can't be used by several threads
_turns = Turns(8, "pages of studies are drawn")  # that wait for it, of the server's 40 threads


def read_list(gallery: Gallery, parameters: Parameters) -> dict[str, Any]:
    """Read the page ``/studies``."""
    return {"title": "Studies", "studies": list_studies(gallery.database)}


def read(gallery: Gallery, parameters: Parameters) -> dict[str, Any]:
    """Read the page ``/studies/NAME``.

    Raises
    ------
    NoSuchStudy, BadStudy, EntryError
    """
    state = load_study(gallery.database, parameters.path["name"])
    table = study_table(gallery.database, state)
    headings, rows = text_rows(table) if table else ([], [])
    return {
        "title": state.title,
        "name": state.name,
        "about": state.study.about,
        "parameters": {name: as_text(value) for name, value in state.parameters.items() if value != []},
        "states": state.count(),
        "headings": headings,
        "rows": rows,
        "notes": [*table.notes, *table.sources] if table else [],
        "jobs": [
            {
                "name": planned.name,
                "kind": planned.kind,
                "job_id": job.id if job else None,
                "what": describe(job.kind, job.specification) if job else None,
                "state": job.state if job else "not submitted",
            }
            for planned, job in state.jobs
        ],
    }


def read_paper(gallery: Gallery, parameters: Parameters) -> dict[str, Any]:
    """Read what ``/paper/NAME`` shows: the sections with their claims and figures.

    Raises
    ------
    NoSuchStudy, BadStudy, EntryError, ArtifactMissing
    """
    state, sections = _sections(gallery, parameters.path["name"])
    return {
        "title": state.title,
        "sections": [
            {
                "title": section.text.title,
                "claim": section.text.claim or None,
                "verdict": section.verdict,
                "figures": section.finding.reason if section.finding else None,
                "measures": [
                    {"name": name, "published": published, "here": ours}
                    for name, published, ours in section.measures
                ],
                "missing": [block.missing for block in section.blocks if block.missing],
            }
            for section in sections
        ],
    }


async def answer_paper(request: Request) -> Response:
    """Answer ``/paper/NAME`` with the page that ``analyze study show --html`` writes.

    Raises
    ------
    NoSuchStudy, BadStudy, EntryError, ArtifactMissing
    """
    return await run_in_threadpool(_paper, request.app.state.gallery, request.path_params["name"])


def _paper(gallery: Gallery, name: str) -> Response:
    content = render_study(*_sections(gallery, name)).encode("utf-8", "replace")
    headers = {"Content-Security-Policy": DOCUMENT_POLICY}
    return Response(content, headers=headers, media_type="text/html; charset=utf-8")


def _sections(gallery: Gallery, name: str) -> tuple[StudyState, list[PageSection]]:
    state = load_study(gallery.database, name)
    command = f"analyze study show {shlex.quote(printable(name))} --html study.html"
    store = LimitedStore(gallery.store.root, command)
    with _turns.one(), _one_at_a_time:
        return state, study_sections(gallery.database, store, state, {})


STUDY_PAGES = (
    Page("/studies", "gallery/templates/studies.html.j2", read_list),
    Page("/studies/{name}", "gallery/templates/study.html.j2", read),
)
PAPER = Page("/paper/{name}", "", read_paper)
