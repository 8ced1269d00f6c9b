"""`analyze doctor` warns of access by other users, with a remedy; no such finding is an error."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from producer.operations.access_report import what_is_open
from producer.operations.checks import Check
from shared.jobs.broker import Broker
from shared.settings import Settings, load_settings
from tests.conftest import Analyze
from tests.integration.access.servers import (
    REDIS_PASSWORD,
    SecuredDatabase,
    redis_url,
    redis_with_password,
)
from tests.integration.access.tls import Certificates, TlsProxy

SECRET = "hunter2"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home as `analyze` makes it."""
    home = tmp_path / "home"
    (home / "store").mkdir(mode=0o700, parents=True)
    home.chmod(0o700)
    sqlite3.connect(home / "unitscope.sqlite3").close()
    (home / "unitscope.sqlite3").chmod(0o600)
    return home


@pytest.fixture
def found(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Check]]:
    """What is open with these settings, asked without a process of its own."""
    for name in [*os.environ]:
        if name.startswith("ANALYZE_"):
            monkeypatch.delenv(name)

    def look(options: Mapping[str, str] | None = None, *, ask: bool = False, **settings: str) -> list[Check]:
        for name, value in settings.items():
            monkeypatch.setenv(f"ANALYZE_{name.upper()}", value)
        given = {"home": str(home), **(options or {})}
        return what_is_open(load_settings(given), given, ask_redis=ask)

    return look


def only(checks: list[Check], name: str, *says: str) -> None:
    """One thing is open, and it is said what to do."""
    assert [check.name for check in checks] == [f"access to {name}"]
    (check,) = checks
    assert not check.well
    assert check.remedy
    assert check.exit_code == 0
    for word in says:
        assert word in f"{check.found} {check.remedy}"
    for secret in (SECRET, REDIS_PASSWORD):
        assert secret not in f"{check.found} {check.remedy}"


def test_a_home_of_ones_own_is_well(found: Callable[..., list[Check]]) -> None:
    assert [(check.name, check.well) for check in found()] == [("access", True)]


@pytest.mark.parametrize(
    ("rights", "words"), [(0o755, "read by"), (0o770, "read and written by"), (0o733, "written by")]
)
def test_a_home_that_others_can_enter_is_named(
    home: Path, found: Callable[..., list[Check]], rights: int, words: str
) -> None:
    home.chmod(rights)
    only(found(), "home", words, f"chmod 700 {home}")


@pytest.mark.parametrize(("name", "file"), [("store", "store"), ("database file", "unitscope.sqlite3")])
def test_what_is_open_inside_counts_only_if_the_home_can_be_entered(
    home: Path, found: Callable[..., list[Check]], name: str, file: str
) -> None:
    (home / file).chmod(0o777 if (home / file).is_dir() else 0o644)
    assert found()[0].well
    home.chmod(0o711)
    only(found(), name, "by other users", "chmod")


def test_a_store_elsewhere_is_looked_at_by_itself(tmp_path: Path, found: Callable[..., list[Check]]) -> None:
    (tmp_path / "pictures").mkdir(mode=0o755)
    (tmp_path / "pictures").chmod(0o755)
    only(found(store=str(tmp_path / "pictures")), "store", "pictures can be read by")


@pytest.mark.parametrize("rights", [0o644, 0o640])
def test_a_config_file_with_a_password_that_others_can_read_is_named(
    home: Path, found: Callable[..., list[Check]], rights: int
) -> None:
    config = home / "config.toml"
    config.write_text(f"redis_url = 'redis://:{SECRET}@127.0.0.1:1/0'\n")
    config.chmod(rights)
    only(found(), "config file", "has the password of redis_url", f"chmod 600 {config}")
    config.chmod(0o600)
    assert found()[0].well


def test_a_config_file_without_a_password_may_be_read_and_not_written(
    home: Path, found: Callable[..., list[Check]]
) -> None:
    config = home / "config.toml"
    config.write_text("threads = 1\n")
    config.chmod(0o644)
    assert found()[0].well
    config.chmod(0o666)
    only(found(), "config file", "read and written by")


def test_a_password_file_that_others_can_read_is_named(tmp_path: Path, found: Callable[..., list[Check]]) -> None:
    file = tmp_path / "password"
    file.write_text(SECRET)
    file.chmod(0o644)
    only(found(redis_url=f"redis://127.0.0.1:1/0?password_file={file}"), "password_file", f"chmod 600 {file}")


@pytest.mark.parametrize(
    "options",
    [
        {"redis_url": f"redis://:{SECRET}@127.0.0.1:1/0"},
        {"redis_url": f"redis://127.0.0.1:1/0?password={SECRET}"},
        {"database_url": f"postgresql://user:{SECRET}@127.0.0.1:1/x"},
        {"database_url": f"postgresql://user@127.0.0.1:1/x?password={SECRET}"},
    ],
)
def test_a_password_given_by_an_option_is_named(
    found: Callable[..., list[Check]], options: Mapping[str, str]
) -> None:
    (name,) = options
    only(found(options), name, "ps", f"ANALYZE_{name.upper()}")


def test_an_option_without_a_password_is_well(found: Callable[..., list[Check]]) -> None:
    assert found({"database_url": "postgresql://user@127.0.0.1:1/x?passfile=/x"})[0].well


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("", "without TLS"),
        ("?sslmode=prefer", "without TLS"),
        ("?sslmode=require", "sslmode=require"),
        ("?sslmode=verify-ca", "sslmode=verify-ca"),
    ],
)
def test_a_database_elsewhere_without_verified_tls_is_named(
    found: Callable[..., list[Check]], query: str, says: str
) -> None:
    only(found(database_url=f"postgresql://user@db.invalid/x{query}"), "database", says, "sslmode=verify-full")
    assert "db.invalid" in found(database_url=f"postgresql:///x?host=db.invalid{query.replace('?', '&')}")[0].found


def test_verified_tls_and_the_same_machine_are_well(found: Callable[..., list[Check]]) -> None:
    for url in (
        "postgresql://user@db.invalid/x?sslmode=verify-full",
        "postgresql://user@localhost/x",
        "postgresql:///x?host=/run/postgresql",
        "postgresql:///x",
    ):
        assert found(database_url=url)[0].well, url


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (f"redis://:{SECRET}@redis.invalid:6379/0", "without TLS"),
        (f"rediss://:{SECRET}@redis.invalid:6379/0?ssl_cert_reqs=none", "identity of the server is not verified"),
        (
            f"rediss://:{SECRET}@redis.invalid:6379/0?ssl_check_hostname=false",
            "identity of the server is not verified",
        ),
    ],
)
def test_a_redis_elsewhere_without_verified_tls_is_named(
    found: Callable[..., list[Check]], url: str, says: str
) -> None:
    only(found(redis_url=url), "redis", says, "redis.invalid:6379")


@pytest.fixture
def redis_port(tmp_path: Path) -> Iterator[int]:
    """A Redis server with a password, on a port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    with redis_with_password(tmp_path, port=port):
        yield port


def test_a_redis_with_a_password_is_well_and_one_without_is_named(
    found: Callable[..., list[Check]], redis_port: int
) -> None:
    url = redis_url(f"127.0.0.1:{redis_port}", scheme="redis")
    assert found(redis_url=url, ask=True)[0].well
    Broker(url).redis.execute_command("ACL", "SETUSER", "default", "nopass")
    only(found(redis_url=url, ask=True), "redis", "without a password", "requirepass")
    only(found(redis_url=f"redis://127.0.0.1:{redis_port}/0", ask=True), "redis", "without a password")


def test_a_redis_that_listens_everywhere_is_named(found: Callable[..., list[Check]], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    with redis_with_password(tmp_path, port=port, bind="*"):
        url = redis_url(f"127.0.0.1:{port}", scheme="redis")
        only(found(redis_url=url, ask=True), "redis", "all addresses")


def test_servers_by_verified_tls_are_well(
    home: Path,
    secured: SecuredDatabase,
    redis_tls: TlsProxy,
    postgresql_tls: TlsProxy,
    certificates: Certificates,
) -> None:
    """The whole command, to the servers themselves."""
    query = f"sslmode=verify-full&sslrootcert={certificates.ca}"
    analyze = Analyze(home, secured.url(f"localhost:{postgresql_tls.port}", query=query))
    analyze.environment["ANALYZE_REDIS_URL"] = redis_url(
        f"localhost:{redis_tls.port}", query=f"ssl_ca_certs={certificates.ca}"
    )
    analyze("db", "upgrade")
    checks = {check["name"]: check for check in analyze.json("doctor")["checks"]}
    for name in ("database", "redis", "access"):
        assert checks[name]["well"], checks[name]


def test_what_is_open_is_in_words_and_in_json_and_no_error(home: Path) -> None:
    home.chmod(0o755)
    analyze = Analyze(home)
    assert (
        f"warning access to home: {home} can be read by other users  chmod 700 {home}" in analyze("doctor").stdout
    )
    checks = json.loads(analyze("doctor", "--json").stdout)["checks"]
    named = {check["name"]: (check["well"], check["exit_code"]) for check in checks}
    assert named["access to home"] == (False, 0)


def test_the_help_warns_of_passwords_in_options(tmp_path: Path) -> None:
    words = " ".join(Analyze(tmp_path)("--help").stdout.split())
    assert words.count("Don't give a password here") == 2


def test_settings_do_not_show_their_urls_in_tracebacks() -> None:
    shown = repr(Settings(redis_url=f"redis://:{SECRET}@x", database_url=f"postgresql://u:{SECRET}@x/y"))
    assert SECRET not in shown
