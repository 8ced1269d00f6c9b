"""Forms that change something, and how a page of another site is kept from sending them.

A form has a token: the HMAC of a random cookie of the browser under a key of the server. Another site's page knows
neither of them, and its browser's headers give it away before that.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from urllib.parse import parse_qs, urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

COOKIE = "unitscope-form"
FIELD = "form_token"  # name of the hidden field
LONGEST_BODY = 4096  # bytes of a form
# With `no-referrer`, browsers send a form with "Origin: null", which could come from anywhere.
REFERRER = {"Referrer-Policy": "same-origin"}


def new_key() -> bytes:
    """Return a key for the tokens of forms. Forms of a server that ended are refused by the next one."""
    return secrets.token_bytes(32)


class FormToken:
    """The token of the forms on one page, for the browser that asks for it."""

    def __init__(self, request: Request, key: bytes) -> None:
        found = request.cookies.get(COOKIE, "")
        self.is_new = not re.fullmatch("[0-9a-f]{64}", found)
        self.cookie = secrets.token_hex(32) if self.is_new else found
        self.value = hmac.new(key, self.cookie.encode("ascii"), hashlib.sha256).hexdigest()

    def send_cookie(self, answer: Response) -> None:
        """Add the headers that a page with forms needs."""
        answer.headers.update(REFERRER)
        if self.is_new:
            # `lax`, since a `strict` one isn't sent by a link from elsewhere: a new one would then replace it, and
            # the forms of pages that are open would be refused. No other site's form sends either of them.
            answer.set_cookie(COOKIE, self.cookie, httponly=True, samesite="lax", path="/")

    def is_in(self, form: dict[str, str]) -> bool:
        """Return whether a form has this token."""
        return not self.is_new and hmac.compare_digest(form.get(FIELD, "").encode(), self.value.encode())


def is_from_here(request: Request) -> bool:
    """Return whether a form was sent by a page of this server. Programs send neither of the two headers."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None and site not in ("same-origin", "none"):
        return False
    try:
        return origin is None or urlsplit(origin).netloc == request.headers.get("host")
    except ValueError:  # no URL
        return False


async def read_form(request: Request) -> dict[str, str] | None:
    """Return the fields of a form, or None if it isn't valid or too long."""
    body = b""
    try:
        async for part in request.stream():
            body += part
            if len(body) > LONGEST_BODY:
                return None
    except ClientDisconnect:
        return None
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=5)
    except ValueError:
        return None
    return {name: values[0] for name, values in fields.items()}
