"""The web application: routes of all pages, pictures and static files.

The functions that read run in threads; the event loop only answers.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from producer.gallery.access.forms import FormToken
from producer.gallery.changes import change_routes
from producer.gallery.elements import LiveElements
from producer.gallery.page import Gallery, Page, Parameters, Picture, as_json
from producer.gallery.pages import DOCUMENT_ROUTES, PAGES
from producer.gallery.pictures import IMMUTABLE, PICTURE_ROUTES, STATIC
from producer.gallery.problems import NOT_FOUND, explained
from producer.gallery.report import answer_report
from producer.gallery.templates import render
from producer.kinds.descriptor import load
from producer.kinds.registry import producer_kinds
from shared.errors import DatabaseUnreachable, UsageError, exit_code
from unitscope.errors import UnitscopeError

TITLES = {
    400: "This address is not valid",
    403: "Refused",
    404: "Not found",
    409: "Not possible now",
    413: "Too large",
    503: "Not available at the moment",
}

Part = TypeVar("Part", Page, Picture)

ELEMENTS = LiveElements()
LOG_SECONDS = 60.0

_logged_at: float | None = None

logger = logging.getLogger(__name__)


def create_app(gallery: Gallery) -> Starlette:
    """Return the application that serves all pages of a gallery."""
    routes: list[BaseRoute] = [route for pages in _by_path(all_pages()) for route in _routes_of(pages)]
    routes += [Route(path, answer) for path, answer in (*DOCUMENT_ROUTES, *PICTURE_ROUTES)]
    routes += [Route(picture.path, _drawn(picture)) for picture in _of_kinds(Picture)]
    routes.append(Route("/jobs/{job_id:int}/report", answer_report))
    if gallery.form_key is not None:
        routes += change_routes()
    routes.append(Mount("/static", StaticFiles(directory=STATIC)))
    handlers: Mapping[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
        UnitscopeError: _explain,
        HTTPException: _explain,
        OSError: _explain,
        Exception: _explain,
    }
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.state.gallery = gallery
    return app


def all_pages() -> list[Page]:
    """Return the pages of the gallery, and those that kinds of job bring."""
    return [*PAGES, *_of_kinds(Page)]


def _of_kinds(form: type[Part]) -> list[Part]:
    """Return the pages, or the pictures, that kinds of job bring."""
    parts = [part for kind in producer_kinds().values() if kind.pages for part in load(kind.pages)]
    return [part for part in parts if isinstance(part, form)]


def _by_path(pages: Sequence[Page]) -> list[list[Page]]:
    """Group pages that have the same path, in the order of the first of each."""
    paths: dict[str, list[Page]] = {}
    for page in pages:
        paths.setdefault(page.path, []).append(page)
    return list(paths.values())


def _routes_of(pages: Sequence[Page]) -> list[Route]:
    """Return the routes of pages of one path: that of their JSON first, since a name in an address may have a
    dot."""
    path = pages[0].path
    as_data = Route("/index.json" if path == "/" else f"{path}.json", _answer(pages, as_data=True))
    return [as_data, Route(path, _answer(pages, as_data=False))] if pages[0].template else [as_data]


def _answer(pages: Sequence[Page], *, as_data: bool) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return await run_in_threadpool(_read, _asked(pages, request), request, as_data)

    return answer


def _asked(pages: Sequence[Page], request: Request) -> Page:
    """Return the page that a query asks for.

    Raises
    ------
    UsageError
    """
    for page in pages:
        if not page.asked_by or request.query_params.get(page.asked_by):
            return page
    choices = " or ".join(f"?{page.asked_by}=..." for page in pages)
    raise UsageError(reason=f"The address {request.url.path} needs {choices}.")


def _drawn(picture: Picture) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        content = await run_in_threadpool(picture.read, request.app.state.gallery, _parameters(request))
        return Response(content, headers=IMMUTABLE, media_type="image/png")

    return answer


def _read(page: Page, request: Request, as_data: bool) -> Response:
    gallery: Gallery = request.app.state.gallery
    parameters = _parameters(request)
    try:
        with gallery.database.one_session():
            values = page.read(gallery, parameters)
    except UnitscopeError as error:
        if not (as_data and exit_code(error) == NOT_FOUND and _take_suffix_as_name(page, request)):
            raise
        try:
            return _read(page, request, as_data=False)
        except UnitscopeError as other:
            if exit_code(other) == NOT_FOUND:
                raise error from None  # which has the name without the suffix
            raise
    if as_data:
        return _json(as_json(values))
    query = f"?{request.url.query}" if request.url.query else ""
    path = "/index" if parameters.address == "/" else parameters.address
    shown = {"elements": ELEMENTS, "parameters": parameters, "json_link": f"{path}.json{query}", **values}
    if not page.has_forms:
        return _html(render(page.template, shown))
    token = FormToken(request, gallery.form_key) if gallery.form_key is not None else None
    answer = _html(render(page.template, {**shown, "form_token": token.value if token else ""}))
    if token:
        token.send_cookie(answer)
    return answer


def _parameters(request: Request) -> Parameters:
    """Return the parts of an address; values of the same name, as checkboxes send them, are joined by commas."""
    query: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        query[name] = f"{query[name]},{value}" if name in query else value
    address = quote(request.scope["path"])  # of request.url, a name with "?" is only a part
    return Parameters(request.path_params, query, address)


def _take_suffix_as_name(page: Page, request: Request) -> bool:
    """Add ``.json`` to the name at the end of an address, which then is that of a page: names can end so."""
    last = page.path.rpartition("{")[2].partition(":")[0].removesuffix("}")
    value = request.path_params.get(last)
    if not (page.template and page.path.endswith("}") and isinstance(value, str)):
        return False
    request.path_params[last] = f"{value}.json"
    return True


def _json(values: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return JSON in ASCII, which can have half of a surrogate pair."""
    return Response(json.dumps(values, allow_nan=False), status, headers, "application/json")


def _html(text: str, status: int = 200) -> Response:
    # Names from files can have half of a surrogate pair, which UTF-8 doesn't have.
    return Response(text.encode("utf-8", "replace"), status, media_type="text/html; charset=utf-8")


def _log_unreachable(error: DatabaseUnreachable) -> None:
    """Log why the database is unreachable, once a minute: pages that follow a job ask every two seconds."""
    global _logged_at
    now = time.monotonic()
    if _logged_at is None or now - _logged_at > LOG_SECONDS:
        _logged_at = now
        logger.warning("%s", error)


async def _explain(request: Request, error: Exception) -> Response:
    """Answer an error with a page, or with JSON, that says what helps."""
    status, text = await run_in_threadpool(explained, request.app.state.gallery, error)
    if status == 500:
        logger.error("%s %s", request.method, request.url.path, exc_info=error)
    if isinstance(error, DatabaseUnreachable):
        _log_unreachable(error)
    headers = {"Retry-After": "5"} if status == 503 else None
    if request.url.path.endswith(".json"):
        return _json({"error": text}, status, headers)
    title = TITLES.get(status, "Something went wrong")
    values = {"elements": ELEMENTS, "json_link": None, "title": title, "text": text}
    answer = _html(render("gallery/templates/error.html.j2", values), status)
    answer.headers.update(headers or {})
    return answer
