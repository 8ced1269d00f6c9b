"""The web application: routes of all pages, pictures and static files.

The functions that read run in threads; the event loop only answers.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from producer.gallery.page import Gallery, Page, Parameters, as_json
from producer.gallery.pages import DOCUMENT_ROUTES, PAGES
from producer.gallery.pictures import PICTURE_ROUTES
from producer.gallery.templates import render
from producer.kinds.descriptor import load
from producer.kinds.registry import producer_kinds
from shared.errors import exit_code, message
from unitscope.errors import UnitscopeError

STATIC = Path(__file__).with_name("static")
# Exit code of the command line -> status.
NOT_FOUND = 4
STATUSES = {2: 400, 3: 503, NOT_FOUND: 404, 5: 503}
TITLES = {400: "This address is not valid", 404: "Not found", 503: "Not available at the moment"}

logger = logging.getLogger(__name__)


def create_app(gallery: Gallery) -> Starlette:
    """Return the application that serves all pages of a gallery."""
    routes = [route for page in all_pages() for route in _routes_of(page)]
    routes += [Route(path, answer) for path, answer in (*DOCUMENT_ROUTES, *PICTURE_ROUTES)]
    routes.append(Mount("/static", StaticFiles(directory=STATIC)))  # type: ignore[arg-type]
    handlers: Mapping[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
        UnitscopeError: _explain,
        HTTPException: _explain,
        Exception: _explain,
    }
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.state.gallery = gallery
    return app


def all_pages() -> list[Page]:
    """Return the pages of the gallery, and those that kinds of job bring."""
    pages = list(PAGES)
    for kind in producer_kinds().values():
        if kind.pages:
            pages += load(kind.pages)
    return pages


def _routes_of(page: Page) -> list[Route]:
    """Return the routes of a page: that of its JSON first, since a name in an address may have a dot."""
    as_data = Route("/index.json" if page.path == "/" else f"{page.path}.json", _answer(page, as_data=True))
    return [as_data, Route(page.path, _answer(page, as_data=False))] if page.template else [as_data]


def _answer(page: Page, *, as_data: bool) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return await run_in_threadpool(_read, page, request, as_data)

    return answer


def _read(page: Page, request: Request, as_data: bool) -> Response:
    gallery: Gallery = request.app.state.gallery
    address = quote(request.scope["path"])  # of request.url, a name with "?" is only a part
    parameters = Parameters(request.path_params, request.query_params, address)
    try:
        values = page.read(gallery, parameters)
    except UnitscopeError as error:
        if as_data and exit_code(error) == NOT_FOUND and _take_suffix_as_name(page, request):
            return _read(page, request, as_data=False)
        raise
    if as_data:
        return _json(as_json(values))
    query = f"?{request.url.query}" if request.url.query else ""
    path = "/index" if address == "/" else address
    shown = {"gallery": gallery, "parameters": parameters, "json_link": f"{path}.json{query}", **values}
    return _html(render(page.template, shown))


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


async def _explain(request: Request, error: Exception) -> Response:
    """Answer an error with a page, or with JSON, that says what helps."""
    if isinstance(error, UnitscopeError):
        status, text = STATUSES.get(exit_code(error), 500), message(error)
    elif isinstance(error, HTTPException):
        status, text = error.status_code, error.detail
    else:
        logger.error("%s %s", request.method, request.url.path, exc_info=error)
        status, text = 500, "The server could not make this page; its log says why."
    headers = {"Retry-After": "5"} if status == 503 else None
    if request.url.path.endswith(".json"):
        return _json({"error": text}, status, headers)
    title = TITLES.get(status, "Something went wrong")
    values = {"gallery": request.app.state.gallery, "json_link": None, "title": title, "text": text}
    answer = _html(render("gallery/templates/error.html.j2", values), status)
    answer.headers.update(headers or {})
    return answer
