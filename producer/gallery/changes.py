"""What pages change with ``analyze serve --allow-changes``: a job is cancelled, continued, or gets a priority."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from producer.gallery.access.forms import FormToken, is_from_here, read_form
from producer.gallery.page import LARGEST, Gallery
from producer.gallery.templates import job_link
from shared.errors import JobStateConflict, NotRepeatable, UsageError
from shared.jobs.ledger import Ledger
from shared.jobs.priority import PRIORITIES, parse_priority

Form = dict[str, str]
Change = Callable[[Gallery, int, Form], None]


def _cancel(gallery: Gallery, job_id: int, form: Form) -> None:
    Ledger(gallery.database, gallery.settings.lease_seconds).cancel(job_id)


def _retry(gallery: Gallery, job_id: int, form: Form) -> None:
    from shared.jobs.broker import broker_for, retry_and_send  # of Celery, which no page needs

    ledger = Ledger(gallery.database, gallery.settings.lease_seconds)
    retry_and_send(ledger, broker_for(gallery.settings), job_id, private=gallery.settings.uses_private_redis)


def _set_priority(gallery: Gallery, job_id: int, form: Form) -> None:
    level = form.get("priority", "")
    if level not in PRIORITIES:
        raise UsageError(reason=f"The priority is '{level[:40]}', and has to be one of {', '.join(PRIORITIES)}.")
    Ledger(gallery.database, gallery.settings.lease_seconds).set_priority(job_id, parse_priority(level))


CHANGES: dict[str, Change] = {"cancel": _cancel, "retry": _retry, "priority": _set_priority}
PATH = re.compile(rf"/jobs/[0-9]+/({'|'.join(CHANGES)})")  # of forms, which are sent by POST


def change_routes() -> list[Route]:
    """Return the routes of the forms."""
    return [
        Route(f"/jobs/{{job_id:int}}/{name}", _answer(change), methods=["POST"])
        for name, change in CHANGES.items()
    ]


def _answer(change: Change) -> Callable[[Request], Awaitable[Response]]:
    """Return the function that does what a form asks for, and leads back to the page of the job."""

    async def answer(request: Request) -> Response:
        gallery: Gallery = request.app.state.gallery
        job_id: int = request.path_params["job_id"]
        if job_id > LARGEST:
            raise HTTPException(404, "There is no job with such a large number.")
        if gallery.form_key is None:
            raise HTTPException(403, "This gallery can only be read.")
        form = await _checked_form(request, gallery.form_key)
        try:
            await run_in_threadpool(change, gallery, job_id, form)
        except (JobStateConflict, NotRepeatable) as error:
            raise HTTPException(409, str(error)) from error
        return RedirectResponse(job_link(job_id), 303)

    return answer


async def _checked_form(request: Request, key: bytes) -> Form:
    """Return the fields of a form that a page of this gallery has sent.

    Raises
    ------
    HTTPException
        It is from elsewhere (403), or no form (400).
    """
    if not is_from_here(request):
        raise HTTPException(403, "The form has to be sent by a page of this gallery. Nothing was changed.")
    form = await read_form(request)
    if form is None:
        raise HTTPException(400, "The form is not valid. Nothing was changed.")
    if not FormToken(request, key).is_in(form):
        reason = "The form is from elsewhere, or older than the start of the gallery. Nothing was changed."
        raise HTTPException(403, f"{reason} Open the page of the job again, and press the button there.")
    return form
