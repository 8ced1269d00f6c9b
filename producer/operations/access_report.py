"""What is open to others: files, servers, passwords. ``analyze doctor`` names it, each with a remedy.

None of it is an error: whoever has a machine or a network of their own may leave things open.
"""

from __future__ import annotations

import os
import socket
import stat
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, make_url

from producer.operations.checks import Check
from shared.jobs.redis_url import RedisAddress, parse_redis_url
from shared.settings import Settings, config_file, has_secret

if TYPE_CHECKING:
    from shared.jobs.broker import Broker

OTHERS_READ, OTHERS_WRITE = stat.S_IRGRP | stat.S_IROTH, stat.S_IWGRP | stat.S_IWOTH
OTHERS_ENTER = stat.S_IXGRP | stat.S_IXOTH
SECURITY = "See docs/security.md."
NEAR = {"localhost", "127.0.0.1", "::1"}


def what_is_open(settings: Settings, options: Mapping[str, Any], *, ask_redis: bool = True) -> list[Check]:
    """Everything that is open; one check that is well if nothing is.

    ``ask_redis``: what only the server can tell is asked of it. One that is away would take its time.
    """
    found = [*_files(settings), *_passwords(settings, options), *_redis(settings), *_database(settings)]
    if ask_redis and settings.redis_url:
        found += _asked_redis(settings.redis_url)
    return found or [Check("access", True, "nothing is open to others that needn't be")]


def _open(name: str, found: str, remedy: str) -> Check:
    return Check(f"access to {name}", False, found, remedy)


# --- files ---


def _files(settings: Settings) -> Iterator[Check]:
    home = settings.home
    database = make_url(settings.resolved_database_url)
    named = {"home": home, "store": settings.resolved_store}
    if database.get_backend_name() == "sqlite" and database.database:
        named["database file"] = Path(database.database)
    closed = home.is_dir() and not _rights(home) & (OTHERS_READ | OTHERS_WRITE | OTHERS_ENTER)
    for name, path in named.items():
        inside = home in path.parents
        if (inside and closed) or not path.exists():  # nobody gets as far as that
            continue
        if words := _others(path):
            mode = "700" if path.is_dir() else "600"
            yield _open(name, f"{path} can be {words} by other users", f"chmod {mode} {path}")


def _rights(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _others(path: Path) -> str:
    rights = _rights(path)
    words = [word for word, bits in (("read", OTHERS_READ), ("written", OTHERS_WRITE)) if rights & bits]
    return " and ".join(words)


# --- passwords ---


def _passwords(settings: Settings, options: Mapping[str, Any]) -> Iterator[Check]:
    for name in ("database_url", "redis_url"):
        if (url := options.get(name)) and has_secret(str(url)):
            yield _open(
                name,
                "its password is in an option, which every user of this machine sees (ps) and shells keep",
                f"Put it into ANALYZE_{name.upper()}, or config.toml with rights 600.",
            )
    file = config_file(settings.home)
    if file.is_file() and (words := _others(file)):
        urls = {name: _in_file(file).get(name) for name in ("database_url", "redis_url")}
        secret = [name for name, url in urls.items() if url and has_secret(str(url))]
        what = f"{file}, which has the password of {' and '.join(secret)}," if secret else str(file)
        if secret or "written" in words:
            yield _open("config file", f"{what} can be {words} by other users", f"chmod 600 {file}")
    for name, path in _secret_files(settings).items():
        if path.is_file() and (words := _others(path)):
            yield _open(name, f"{path} can be {words} by other users", f"chmod 600 {path}")


def _in_file(file: Path) -> dict[str, Any]:
    return tomllib.loads(file.read_text(encoding="utf-8"))


def _secret_files(settings: Settings) -> dict[str, Path]:
    """Files that URLs name and that are as good as a password."""
    named: dict[str, Any] = {}
    if settings.redis_url:
        address = parse_redis_url(settings.redis_url)
        named = {"password_file": address.password_file, "ssl_keyfile": (address.tls or {}).get("ssl_keyfile")}
    query = make_url(settings.resolved_database_url).query
    named |= {"passfile": query.get("passfile"), "sslkey": query.get("sslkey")}
    return {name: Path(path) for name, path in named.items() if isinstance(path, (str, Path)) and str(path)}


# --- servers ---


def _redis(settings: Settings) -> Iterator[Check]:
    address = parse_redis_url(settings.redis_url) if settings.redis_url else None
    if address and address.host and not _is_near(address.host):
        yield from _redis_tls(address)


def _asked_redis(url: str) -> Iterator[Check]:
    from shared.jobs.broker import Broker

    address, broker = parse_redis_url(url), Broker(url)
    if not address.host or not broker.answers():
        return
    place = f"Redis at {address.host}:{address.port}"
    if not address.has_password or Broker(address.without_credentials()).answers():
        yield _open(
            "redis",
            f"{place} takes everybody who reaches its port, without a password",
            f"Set requirepass or ACLs in its configuration, and the password in redis_url. {SECURITY}",
        )
    if _listens_everywhere(broker):
        yield _open(
            "redis",
            f"{place} listens on all addresses of its machine",
            "Name those that are needed (bind), or keep others from its port by a firewall.",
        )


def _redis_tls(address: RedisAddress) -> Iterator[Check]:
    place = f"Redis at {address.host}:{address.port}"
    if address.tls is None:
        yield _open(
            "redis",
            f"{place} is reached without TLS: password and messages can be read and changed on the way",
            f"Use rediss://, unless only you use that network. {SECURITY}",
        )
    elif not address.verifies:
        yield _open(
            "redis",
            f"{place} is reached by TLS, and is not asked who it is",
            f"Leave out ssl_cert_reqs and ssl_check_hostname, name its authority: ssl_ca_certs. {SECURITY}",
        )


def _listens_everywhere(broker: Broker) -> bool:
    """As far as it tells: many servers don't."""
    from redis.exceptions import RedisError

    try:
        found = broker.redis.config_get("bind")
    except RedisError:
        return False
    bind = found.get("bind")
    if not isinstance(bind, str):
        return False
    addresses = [address.lstrip("-") for address in bind.split()]
    return not addresses or any(address in ("*", "0.0.0.0", "::", "::*") for address in addresses)  # noqa: S104


def _database(settings: Settings) -> Iterator[Check]:
    url = make_url(settings.resolved_database_url)
    if url.get_backend_name() != "postgresql":
        return
    mode = url.query.get("sslmode") or os.environ.get("PGSSLMODE") or "prefer"  # as libpq does
    for host in _hosts(url):
        if host.startswith("/") or _is_near(host):
            continue
        if mode in ("disable", "allow", "prefer"):
            found = "may be reached without TLS: password and rows can be read and changed on the way"
        elif mode != "verify-full":
            found = f"is reached by TLS, and is not asked for its name (sslmode={mode})"
        else:
            continue
        yield _open(
            "database",
            f"PostgreSQL at {host} {found}",
            "Add sslmode=verify-full&sslrootcert=FILE to database_url, unless only you use that network."
            f" {SECURITY}",
        )


def _hosts(url: URL) -> list[str]:
    """Those of the URL: before the path, or ``host``, which may stand several times and hold several."""
    named = url.query.get("host")
    values = [named] if isinstance(named, str) else list(named or ())
    return [host for value in [url.host or "", *values] for host in value.split(",") if host]


def _is_near(host: str) -> bool:
    return host in NEAR or host.startswith("127.") or host == socket.gethostname()
