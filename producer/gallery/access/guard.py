"""The outermost part of the application: refuses requests that it must not answer, before a page is read."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from producer.gallery.access.headers import with_headers
from producer.gallery.access.hosts import Hosts
from producer.gallery.access.login import PATH as LOGIN
from producer.gallery.access.login import answer_login, to_login
from producer.gallery.access.tokens import cookie_name, is_cookie, is_token
from producer.gallery.access.tries import Tries
from producer.gallery.changes import PATH as CHANGE

LONGEST_PATH = 2000  # bytes as sent, with percent signs
LONGEST_QUERY = 16_000  # bytes: a statement of SQL
MOST_PARAMETERS = 60  # of a query
OPEN = "/static/"  # styles and scripts are the same for everybody, and the login page needs them


@dataclass(frozen=True)
class Access:
    """Who may read, and whether they may change something.

    Parameters
    ----------
    hosts
        Names that are answered.
    key
        Hash of the token (see ``producer.gallery.access.tokens``); None if none is needed.
    allow_changes
        Whether forms of jobs are answered (see ``producer.gallery.changes``).
    """

    hosts: Hosts
    key: str | None = None
    allow_changes: bool = False


class Guard:
    """An ASGI application around another one. Responses of both have the headers of ``headers``."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app, self.access, self.tries = app, access, Tries()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"there is no answer to {scope['type']}")
        request = Request(scope, receive)
        send = with_headers(send, needs_token=self.access.key is not None)
        answer = self._refuse(request) or await self._authenticate(request)
        await (answer or self.app)(scope, receive, send)

    def _refuse(self, request: Request) -> Response | None:
        """Refuse hosts, methods, and addresses that no link of the gallery has."""
        host = request.headers.get("host")
        if host is None:
            return PlainTextResponse("The request needs a Host header.\n", 400)
        if not self.access.hosts.allows(host):
            text = "This name is not answered. `analyze serve --allowed-host NAME` allows one.\n"
            return PlainTextResponse(text, 421)
        if "transfer-encoding" in request.headers and (
            "content-length" in request.headers or request.scope["http_version"] == "1.0"
        ):
            # A proxy can take one of them and we the other, and so begin the next request at different places.
            text = "A request has Content-Length or Transfer-Encoding, not both, and the latter not in HTTP/1.0.\n"
            return PlainTextResponse(text, 400, {"Connection": "close"})
        methods = self._methods(request.scope["path"])
        if request.method not in methods:
            text = "This address is that of a form" if methods == ("POST",) else "This address can only be read"
            return PlainTextResponse(f"{text}.\n", 405, {"Allow": ", ".join(methods)})
        query: bytes = request.scope["query_string"]
        if len(request.scope["raw_path"]) > LONGEST_PATH or len(query) > LONGEST_QUERY:
            return PlainTextResponse("The address is too long.\n", 414)
        if query.count(b"&") >= MOST_PARAMETERS:
            return PlainTextResponse(f"The query has more than {MOST_PARAMETERS} parameters.\n", 400)
        if any(ord(character) < 32 or ord(character) == 127 for character in request.scope["path"]):
            return PlainTextResponse("The address has a control character.\n", 400)
        return None

    def _methods(self, path: str) -> tuple[str, ...]:
        if self.access.allow_changes and CHANGE.fullmatch(path):
            return ("POST",)
        if self.access.key is not None and path == LOGIN:
            return "GET", "HEAD", "POST"
        return "GET", "HEAD"

    async def _authenticate(self, request: Request) -> Response | None:
        """Ask for the token, if one is needed."""
        key, path = self.access.key, request.scope["path"]
        if key is None or path.startswith(OPEN):
            return None
        address = request.client.host if request.client else ""
        if path == LOGIN:
            return await answer_login(request, key, self.tries, address)
        if is_cookie(request.cookies.get(cookie_name(key), ""), key):
            return None
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._check(token.strip(), key, address)
        if "text/html" in request.headers.get("accept", "") and not path.endswith(".json"):
            return to_login(request)
        return _unauthorized("The gallery needs its token: `Authorization: Bearer TOKEN`.\n")

    def _check(self, token: str, key: str, address: str) -> Response | None:
        if seconds := self.tries.seconds_to_wait(address):
            text = f"Too many wrong tokens. Try again in {seconds} s.\n"
            return PlainTextResponse(text, 429, {"Retry-After": str(seconds)})
        if is_token(token, key):
            return None
        self.tries.failed(address)
        return _unauthorized("This is not the gallery's token.\n")


def _unauthorized(text: str) -> Response:
    return PlainTextResponse(text, 401, {"WWW-Authenticate": 'Bearer realm="unitscope"'})
