"""The URL of a Redis server, read once for both that connect to it: redis-py looks, Celery sends.

They would read it differently: Celery refuses ``rediss://`` without ``ssl_cert_reqs``, where redis-py verifies;
the names of unix sockets and of databases aren't the same; and Celery keeps the password in URLs that it prints.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

DEFAULT_PORT = 6379
VERIFICATION = {  # Celery's names and redis-py's
    "required": "required",
    "optional": "required",  # a client never lets the server go without a certificate
    "none": "none",
    "CERT_REQUIRED": "required",
    "CERT_OPTIONAL": "required",
    "CERT_NONE": "none",
}
TLS_FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
TLS_PARAMETERS = (*TLS_FILES, "ssl_cert_reqs", "ssl_check_hostname", "ssl_password")
PARAMETERS = ("db", "username", "password", "password_file")


@dataclass(frozen=True, repr=False)  # it holds a password
class RedisAddress:
    """Where a Redis server is, and how to get in. ``tls``: redis-py's arguments, None for a plain connection."""

    host: str | None
    port: int
    socket: str | None
    database: int
    username: str | None
    password: str | None
    password_file: Path | None
    tls: dict[str, Any] | None

    @property
    def has_password(self) -> bool:
        """Whether a password is sent."""
        return self.password is not None or self.password_file is not None

    @property
    def verifies(self) -> bool:
        """Whether the server has to show that it is the one that was meant."""
        return self.tls is not None and self.tls["ssl_cert_reqs"] != "none" and self.tls["ssl_check_hostname"]

    def missing_file(self) -> str | None:
        """A file of the TLS settings that isn't there: the TLS library's errors don't name it."""
        named = [self.tls[name] for name in TLS_FILES if name in self.tls] if self.tls else []
        return next((file for file in named if not Path(file).exists()), None)

    def without_credentials(self) -> str:
        """The same server as by somebody who has no password."""
        if self.socket:
            return f"unix://{quote(self.socket)}"
        query = f"?{urlencode(self.tls)}" if self.tls else ""
        return f"{self._scheme}://{self._host}:{self.port}{query}"

    def celery_url(self) -> str:
        """The server as Celery names it, without credentials."""
        if self.socket:
            return f"redis+socket://{quote(self.socket)}?virtual_host={self.database}"
        return f"{self._scheme}://{self._host}:{self.port}/{self.database}"

    @property
    def _scheme(self) -> str:
        return "rediss" if self.tls else "redis"

    @property
    def _host(self) -> str:
        return f"[{self.host}]" if ":" in (self.host or "") else str(self.host)


def parse_redis_url(url: str) -> RedisAddress:
    """Read ``redis://``, ``rediss://`` (TLS, and the server's certificate verified) or ``unix://``.

    Raises
    ------
    ValueError
        what is wrong, without any part of the URL that could be a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        given = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise ValueError(
            "is not like redis://:PASSWORD@HOST:6379/0, rediss://... or unix://SOCKET"
            " (special characters of a password are percent-encoded)"
        ) from None
    if parts.scheme not in ("redis", "rediss", "unix") or port == 0:
        raise ValueError("is not like redis://:PASSWORD@HOST:6379/0, rediss://... or unix://SOCKET")
    if parts.fragment or (parts.scheme != "unix" and "@" in parts.path + parts.query):
        raise ValueError("has a special character in its password that is not percent-encoded")
    tls = _tls(given) if parts.scheme == "rediss" else None
    allowed = PARAMETERS if tls is None else PARAMETERS + TLS_PARAMETERS
    if unknown := [name for name in given if name not in allowed]:
        if unknown[0] in TLS_PARAMETERS:
            raise ValueError(f"has {unknown[0]}, which goes with rediss://")
        raise ValueError(f"has a parameter that is none of {', '.join(allowed)}")
    if parts.password is not None and "password_file" in given:
        raise ValueError("has both a password and a password_file")
    return RedisAddress(
        host=None if parts.scheme == "unix" else unquote(parts.hostname or "localhost"),
        port=port or DEFAULT_PORT,
        socket=unquote(parts.path) if parts.scheme == "unix" else None,
        database=_database(given.get("db") or ("" if parts.scheme == "unix" else parts.path.strip("/"))),
        username=unquote(parts.username or "") or given.get("username"),
        password=unquote(parts.password or "") or given.get("password"),
        password_file=Path(given["password_file"]) if "password_file" in given else None,
        tls=tls,
    )


def _database(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) < 6):
        raise ValueError("has no number of a database behind the host")
    return int(text)


def _tls(given: dict[str, str]) -> dict[str, Any]:
    """What redis-py, and through it Celery, is told: nothing is left to their defaults."""
    asked = given.get("ssl_cert_reqs", "required")
    if asked not in VERIFICATION:
        raise ValueError("has an ssl_cert_reqs that is neither required nor none")
    named = given.get("ssl_check_hostname", "true").lower()
    if named not in ("true", "false"):
        raise ValueError("has an ssl_check_hostname that is neither true nor false")
    verification = VERIFICATION[asked]
    others = {name: given[name] for name in (*TLS_FILES, "ssl_password") if name in given}
    return {
        "ssl_cert_reqs": verification,
        "ssl_check_hostname": verification == "required" and named == "true",
        **others,
    }
