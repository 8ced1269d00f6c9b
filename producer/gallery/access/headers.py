"""Headers of every response: what a browser may do with it, and how long it is kept."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Send

# Everything is from this server. There are no scripts or styles in a page itself, so markup in a name that was not
# escaped could not run.
POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
# Of a page that is one file: its styles and pictures are in it, and nothing else.
DOCUMENT_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def with_headers(send: Send, *, needs_token: bool) -> Send:
    """Return a ``send`` that adds the headers which a response doesn't have itself.

    Caches between the server and the browser keep nothing that needs a token, and the browser no page of it.
    """
    cache = "no-store" if needs_token else "private, no-cache"

    async def add(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            if needs_token and "public" in headers.get("Cache-Control", ""):
                headers["Cache-Control"] = headers["Cache-Control"].replace("public", "private")
            headers.setdefault("Cache-Control", cache)
        await send(message)

    return add
