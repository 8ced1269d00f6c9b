"""Parse the URL of a Redis server for both clients: redis-py inspects queues, Celery sends and receives messages.

The two parse URLs differently: Celery rejects ``rediss://`` without ``ssl_cert_reqs``, while redis-py verifies the
certificate by default; they name Unix sockets and databases differently; and Celery logs URLs with the password.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

DEFAULT_PORT = 6379
VERIFICATION = {  # the names of Celery and of redis-py
    "required": "required",
    "optional": "required",  # "optional" has no meaning for a client: a TLS server always has a certificate
    "none": "none",
    "CERT_REQUIRED": "required",
    "CERT_OPTIONAL": "required",
    "CERT_NONE": "none",
}
TLS_FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
TLS_PARAMETERS = (*TLS_FILES, "ssl_cert_reqs", "ssl_check_hostname", "ssl_password")
PARAMETERS = ("db", "username", "password", "password_file")


@dataclass(frozen=True, repr=False)  # no repr, since it would contain the password
class RedisAddress:
    """Address and credentials of a Redis server. ``tls`` has redis-py's TLS arguments, None for no TLS."""

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
        """Whether the server's certificate and host name are verified."""
        return self.tls is not None and self.tls["ssl_cert_reqs"] != "none" and self.tls["ssl_check_hostname"]

    def missing_file(self) -> str | None:
        """Return a TLS file that does not exist, or None. (Errors of the TLS library do not name the file.)"""
        files = [self.tls[name] for name in TLS_FILES if name in self.tls] if self.tls else []
        return next((file for file in files if not Path(file).exists()), None)

    def without_credentials(self) -> str:
        """Return a URL of the server without credentials, to check whether it requires a password."""
        if self.socket:
            return f"unix://{quote(self.socket)}"
        query = f"?{urlencode(self.tls)}" if self.tls else ""
        return f"{self._scheme}://{self._host}:{self.port}{query}"

    def celery_url(self) -> str:
        """Return the server's URL in Celery's form, without credentials."""
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
    """Parse ``redis://``, ``rediss://`` (TLS, verifying the server's certificate by default) or ``unix://``.

    Raises
    ------
    ValueError
        the URL is invalid. The message contains no part of the URL that could be a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        parameters = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise ValueError(
            "must have the form redis://:PASSWORD@HOST:6379/0, rediss://... or unix://SOCKET"
            " (percent-encode special characters of the password)"
        ) from None
    if parts.scheme not in ("redis", "rediss", "unix") or port == 0:
        raise ValueError("must have the form redis://:PASSWORD@HOST:6379/0, rediss://... or unix://SOCKET")
    if parts.fragment or (parts.scheme != "unix" and "@" in parts.path + parts.query):
        raise ValueError("has a special character in its password that must be percent-encoded")
    tls = _tls(parameters) if parts.scheme == "rediss" else None
    allowed = PARAMETERS if tls is None else PARAMETERS + TLS_PARAMETERS
    if unknown := [name for name in parameters if name not in allowed]:
        if unknown[0] in TLS_PARAMETERS:
            raise ValueError(f"has {unknown[0]}, which is only valid with rediss://")
        raise ValueError(f"has an unknown parameter; known are {', '.join(allowed)}")
    if parts.password is not None and "password_file" in parameters:
        raise ValueError("has both a password and a password_file")
    return RedisAddress(
        host=None if parts.scheme == "unix" else unquote(parts.hostname or "localhost"),
        port=port or DEFAULT_PORT,
        socket=unquote(parts.path) if parts.scheme == "unix" else None,
        database=_database(parameters.get("db") or ("" if parts.scheme == "unix" else parts.path.strip("/"))),
        username=unquote(parts.username or "") or parameters.get("username"),
        password=unquote(parts.password or "") or parameters.get("password"),
        password_file=Path(parameters["password_file"]) if "password_file" in parameters else None,
        tls=tls,
    )


def _database(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) < 6):
        raise ValueError("must have a database number after the host, or nothing")
    return int(text)


def _tls(parameters: dict[str, str]) -> dict[str, Any]:
    """Return the TLS arguments of redis-py and Celery, set explicitly so that their defaults do not matter."""
    cert_reqs = parameters.get("ssl_cert_reqs", "required")
    if cert_reqs not in VERIFICATION:
        raise ValueError("has an invalid ssl_cert_reqs: use required or none")
    check_hostname = parameters.get("ssl_check_hostname", "true").lower()
    if check_hostname not in ("true", "false"):
        raise ValueError("has an invalid ssl_check_hostname: use true or false")
    verification = VERIFICATION[cert_reqs]
    others = {name: parameters[name] for name in (*TLS_FILES, "ssl_password") if name in parameters}
    return {
        "ssl_cert_reqs": verification,
        "ssl_check_hostname": verification == "required" and check_hostname == "true",
        **others,
    }
