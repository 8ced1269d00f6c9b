"""The token of the gallery, of which only a hash is stored.

A browser gets a cookie whose value is derived from the token by HMAC. What is stored is the SHA-256 of that value:
it is enough to check a token and a cookie, and neither of them can be made from it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

from shared.errors import UsageError
from shared.settings import Settings

FILE = "gallery-token"  # in the home folder
BYTES = 32  # random ones of a token
SHORTEST = 16  # characters of a token that somebody else made
LONGEST = 500  # characters
PURPOSE = b"unitscope gallery cookie"


def new_token(settings: Settings) -> str:
    """Make a token and store its hash in the home folder.

    It replaces an earlier token, which a running server keeps until its end.
    """
    token = secrets.token_urlsafe(BYTES)
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    file, new = settings.home / FILE, settings.home / f"{FILE}.{secrets.token_hex(4)}"
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(f"{key_of(token)}\n")
    new.replace(file)
    return token


def stored_key(settings: Settings) -> str | None:
    """Return the key of the token whose hash is stored in the home folder, or None without one.

    Raises
    ------
    UsageError
        The file has something else.
    """
    file = settings.home / FILE
    try:
        with file.open("rb") as opened:
            key = opened.read(200).strip().decode("ascii", "replace")
    except FileNotFoundError:
        return None
    if not re.fullmatch("[0-9a-f]{64}", key):
        reason = f"{file} doesn't contain the hash of a token. `analyze serve --new-token` makes another one."
        raise UsageError(reason=reason)
    return key


def key_of_file(file: Path) -> str:
    """Return the key of the token in a file, such as a secret of a container.

    Raises
    ------
    UsageError
        The file can't be read, or its content can't be a token.
    """
    try:
        with file.open("rb") as opened:
            token = opened.read(LONGEST + 2).decode().strip()
    except OSError as error:
        raise UsageError(reason=f"The token's file {file} can't be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UsageError(reason=f"The token's file {file} is not UTF-8 text.") from None
    if not (SHORTEST <= len(token) <= LONGEST and token.isascii() and token.isprintable() and " " not in token):
        form = f"{SHORTEST} to {LONGEST} ASCII characters without spaces, in one line"
        raise UsageError(reason=f"The token in {file} must have {form}. `openssl rand -hex 32` makes one.")
    return key_of(token)


def key_of(token: str) -> str:
    """Return the hash that is stored of a token: the SHA-256 of the cookie's value."""
    return _key_of_cookie(cookie_of(token))


def cookie_of(token: str) -> str:
    """Return the value of the cookie of someone who has signed in with a token."""
    return hmac.new(token.encode("utf-8", "replace"), PURPOSE, hashlib.sha256).hexdigest()


def is_token(text: str, key: str) -> bool:
    """Return whether a text is the token of this key; takes the same time for each text of the same length."""
    return len(text) <= LONGEST and hmac.compare_digest(key_of(text), key)


def is_cookie(text: str, key: str) -> bool:
    """Return whether a text is the value of the cookie of this key."""
    return len(text) <= LONGEST and hmac.compare_digest(_key_of_cookie(text), key)


def cookie_name(key: str) -> str:
    """Return the name of the cookie: one for each token, since browsers send cookies to all ports of a machine."""
    return f"unitscope-{key[:8]}"


def _key_of_cookie(cookie: str) -> str:
    return hashlib.sha256(cookie.encode("utf-8", "replace")).hexdigest()
