"""Checks of access by others to files, servers and passwords, for ``analyze doctor``.

All findings are warnings: on a private machine or network, open access can be intended.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, make_url

from producer.operations.checks import Check
from shared.config_file import config_file, read_config
from shared.jobs.redis_url import RedisAddress, parse_redis_url
from shared.settings import URLS, Settings, has_secret, url_files

if TYPE_CHECKING:
    from shared.jobs.broker import Broker

OTHERS_READ, OTHERS_WRITE = stat.S_IRGRP | stat.S_IROTH, stat.S_IWGRP | stat.S_IWOTH
OTHERS_ENTER = stat.S_IXGRP | stat.S_IXOTH
SECURITY = "See docs/operations/security.md."
LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def access_checks(settings: Settings, options: Mapping[str, Any], *, ask_redis: bool = True) -> list[Check]:
    """Return a failed check for each finding, or a single passed one.

    ``ask_redis`` includes checks that connect to the Redis server, which take long if it doesn't answer.
    """
    findings = [*_files(settings), *_passwords(settings, options), *_redis(settings), *_database(settings)]
    if ask_redis and settings.redis_url:
        findings += _redis_server(settings.redis_url)
    return findings or [Check("access", True, "no files, passwords or servers are exposed to other users")]


def _finding(name: str, found: str, remedy: str) -> Check:
    return Check(f"access to {name}", False, found, remedy)


# --- files ---


def _files(settings: Settings) -> Iterator[Check]:
    home = settings.home
    database = make_url(settings.resolved_database_url)
    paths = {"home": home, "store": settings.resolved_store}
    if database.get_backend_name() == "sqlite" and database.database:
        paths["database file"] = Path(database.database)
    home_is_closed = home.is_dir() and not _mode(home) & (OTHERS_READ | OTHERS_WRITE | OTHERS_ENTER)
    for name, path in paths.items():
        protected = home_is_closed and home in path.parents
        if protected or not (path.is_dir() or path.is_file()):
            continue
        if access := _access_by_others(path):
            mode = "700" if path.is_dir() else "600"
            yield _finding(name, f"{path} can be {access} by other users", f"chmod {mode} {path}")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _access_by_others(path: Path) -> str:
    """Return ``read``, ``written``, ``read and written``, or an empty string."""
    mode = _mode(path)
    access = [verb for verb, bits in (("read", OTHERS_READ), ("written", OTHERS_WRITE)) if mode & bits]
    return " and ".join(access)


# --- passwords ---


def _passwords(settings: Settings, options: Mapping[str, Any]) -> Iterator[Check]:
    for name in ("database_url", "redis_url"):
        if (url := options.get(name)) and has_secret(str(url)):
            yield _finding(
                name,
                "its password is in an option, which every user of this machine can see (ps) and shells record",
                f"Put it into ANALYZE_{name.upper()}, or into config.toml with mode 600.",
            )
    file = config_file(settings.home)
    if file.is_file() and (access := _access_by_others(file)):
        urls = {name: read_config(file).get(name) for name in URLS}
        secret = [name for name, url in urls.items() if url and has_secret(str(url))]
        described = f"{file}, which has the password of {' and '.join(secret)}," if secret else str(file)
        if secret or "written" in access:
            yield _finding("config file", f"{described} can be {access} by other users", f"chmod 600 {file}")
    for name, path in _secret_files(settings).items():
        if path.is_file() and not _is_mounted_secret(path) and (access := _access_by_others(path)):
            yield _finding(name, f"{path} can be {access} by other users", f"chmod 600 {path}")


def _secret_files(settings: Settings) -> dict[str, Path]:
    """Return the files that contain URLs, and those named in URLs that contain passwords or private keys."""
    files: dict[str, Any] = dict(url_files())
    if settings.redis_url:
        address = parse_redis_url(settings.redis_url)
        files |= {"password_file": address.password_file, "ssl_keyfile": (address.tls or {}).get("ssl_keyfile")}
    query = make_url(settings.resolved_database_url).query
    files |= {"passfile": query.get("passfile"), "sslkey": query.get("sslkey")}
    return {name: Path(path) for name, path in files.items() if isinstance(path, (str, Path)) and str(path)}


def _is_mounted_secret(path: Path) -> bool:
    """Return whether a file is on a read-only file system, as secrets of containers are: no chmod is possible."""
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


# --- servers ---


def _redis(settings: Settings) -> Iterator[Check]:
    address = parse_redis_url(settings.redis_url) if settings.redis_url else None
    if address and address.host and not _is_local(address.host):
        yield from _redis_tls(address)


def _redis_server(url: str) -> Iterator[Check]:
    """Check the password and the addresses of the server itself, by connecting to it."""
    from shared.jobs.broker import Broker

    address, broker = parse_redis_url(url), Broker(url)
    if not address.host or not broker.answers():
        return
    server = f"Redis at {address.host}:{address.port}"
    if not address.has_password or Broker(address.without_credentials()).answers():
        yield _finding(
            "redis",
            f"{server} accepts connections without a password",
            f"Set requirepass or ACLs in its configuration, and the password in redis_url. {SECURITY}",
        )
    if _listens_on_all_addresses(broker):
        yield _finding(
            "redis",
            f"{server} listens on all addresses of its machine",
            "Set bind to the addresses that are needed, or restrict access to its port with a firewall.",
        )


def _redis_tls(address: RedisAddress) -> Iterator[Check]:
    server = f"Redis at {address.host}:{address.port}"
    if address.tls is None:
        yield _finding(
            "redis",
            f"{server} is used without TLS: the password and messages can be read and changed in transit",
            f"Use rediss://, unless the network is private. {SECURITY}",
        )
    elif not address.verifies:
        yield _finding(
            "redis",
            f"{server} is used with TLS, but the identity of the server is not verified",
            f"Remove ssl_cert_reqs and ssl_check_hostname, and set ssl_ca_certs to its CA's file. {SECURITY}",
        )


def _listens_on_all_addresses(broker: Broker) -> bool:
    """Read the server's ``bind`` setting; False where the server doesn't allow CONFIG GET."""
    from redis.exceptions import RedisError

    try:
        configuration = broker.redis.config_get("bind")
    except RedisError:
        return False
    bind = configuration.get("bind")
    if not isinstance(bind, str):
        return False
    addresses = [address.lstrip("-") for address in bind.split()]
    return not addresses or any(address in ("*", "0.0.0.0", "::", "::*") for address in addresses)  # noqa: S104


def _database(settings: Settings) -> Iterator[Check]:
    url = make_url(settings.resolved_database_url)
    if url.get_backend_name() != "postgresql":
        return
    mode = url.query.get("sslmode") or os.environ.get("PGSSLMODE") or "prefer"  # libpq's order
    for host in _hosts(url):
        if host.startswith("/") or _is_local(host):
            continue
        if mode in ("disable", "allow", "prefer"):
            found = "may be used without TLS: the password and rows can be read and changed in transit"
        elif mode != "verify-full":
            found = f"is used with TLS, but the identity of the server is not fully verified (sslmode={mode})"
        else:
            continue
        yield _finding(
            "database",
            f"PostgreSQL at {host} {found}",
            f"Add sslmode=verify-full&sslrootcert=FILE to database_url, unless the network is private. {SECURITY}",
        )


def _hosts(url: URL) -> list[str]:
    """Return the hosts of a URL: the one before its path, and those of ``host=`` (repeatable, comma-separated)."""
    value = url.query.get("host")
    values = [value] if isinstance(value, str) else list(value or ())
    return [host for value in [url.host or "", *values] for host in value.split(",") if host]


def _is_local(host: str) -> bool:
    return host in LOOPBACK or host.startswith("127.") or host == socket.gethostname()
