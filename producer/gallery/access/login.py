"""The login page: a token is exchanged for a cookie."""

from __future__ import annotations

import re
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from producer.gallery.access.forms import REFERRER, is_from_here, read_form
from producer.gallery.access.tokens import cookie_name, cookie_of, is_token
from producer.gallery.access.tries import Tries
from producer.gallery.elements import LiveElements
from producer.gallery.templates import render

PATH = "/login"
TEMPLATE = "gallery/templates/login.html.j2"
COOKIE_SECONDS = 30 * 24 * 3600
ELEMENTS = LiveElements()


def to_login(request: Request) -> Response:
    """Lead a browser without a cookie to the login page, and from there to the page that it asked for."""
    path, query = (request.scope[part].decode("latin-1") for part in ("raw_path", "query_string"))
    following = f"{path}?{query}" if query else path
    return RedirectResponse(f"{PATH}?{urlencode({'next': following})}", 303)


async def answer_login(request: Request, key: str, tries: Tries, address: str) -> Response:
    """Show the login page, or read its form: the cookie is set for the right token."""
    following = _local(request.query_params.get("next", "/"))
    if request.method != "POST":
        return _page(following)
    if not is_from_here(request):
        return _page(following, "The form has to be sent by this page.", 403)
    if seconds := tries.seconds_to_wait(address):
        return _page(following, f"Too many wrong tokens. Try again in {seconds} s.", 429, seconds)
    form = await read_form(request)
    if form is None:
        return _page(following, "The form is not valid.", 400)
    token = form.get("token", "").strip()
    if not is_token(token, key):
        tries.failed(address)
        return _page(following, "This is not the token.", 403)
    answer = RedirectResponse(following, 303)
    answer.set_cookie(
        cookie_name(key), cookie_of(token), max_age=COOKIE_SECONDS, httponly=True, samesite="strict", path="/"
    )
    return answer


def _page(following: str, problem: str = "", status: int = 200, retry: int | None = None) -> Response:
    shown = {"title": "Sign in", "json_link": None, "elements": ELEMENTS}
    values = {**shown, "problem": problem, "action": PATH, "next": following}
    headers = REFERRER | ({"Retry-After": str(retry)} if retry else {})
    text = render(TEMPLATE, values).encode("utf-8", "replace")
    return Response(text, status, headers, media_type="text/html; charset=utf-8")


def _local(address: str) -> str:
    """Return an address of this server, or the first page in place of another one."""
    is_local = re.fullmatch(r"/(?![/\\])[^\x00-\x20\x7f\\]*", address) and address.isascii()
    return address if is_local and urlsplit(address).path != PATH else "/"
