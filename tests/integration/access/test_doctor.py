"""`analyze doctor` reports files and servers that others can access, each with a remedy, as warnings."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from producer.operations.access_report import access_checks
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
    """A home created by `analyze`."""
    home = tmp_path / "home"
    (home / "store").mkdir(mode=0o700, parents=True)
    home.chmod(0o700)
    sqlite3.connect(home / "unitscope.sqlite3").close()
    (home / "unitscope.sqlite3").chmod(0o600)
    return home


@pytest.fixture
def run_checks(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Check]]:
    """A function that runs the checks with the given settings in this process."""
    for name in [*os.environ]:
        if name.startswith("ANALYZE_"):
            monkeypatch.delenv(name)

    def run(options: Mapping[str, str] | None = None, *, ask: bool = False, **settings: str) -> list[Check]:
        for name, value in settings.items():
            monkeypatch.setenv(f"ANALYZE_{name.upper()}", value)
        given = {"home": str(home), **(options or {})}
        return access_checks(load_settings(given), given, ask_redis=ask)

    return run


def only(checks: list[Check], name: str, *says: str) -> None:
    """Check that exactly one problem is reported, with these words and a remedy."""
    assert [check.name for check in checks] == [f"access to {name}"]
    (check,) = checks
    assert not check.well
    assert check.remedy
    assert check.exit_code == 0
    for word in says:
        assert word in f"{check.found} {check.remedy}"
    for secret in (SECRET, REDIS_PASSWORD):
        assert secret not in f"{check.found} {check.remedy}"


def test_a_private_home_is_ok(run_checks: Callable[..., list[Check]]) -> None:
    assert [(check.name, check.well) for check in run_checks()] == [("access", True)]


@pytest.mark.parametrize(
    ("rights", "words"), [(0o755, "read by"), (0o770, "read and written by"), (0o733, "written by")]
)
def test_a_home_that_others_can_enter_is_reported(
    home: Path, run_checks: Callable[..., list[Check]], rights: int, words: str
) -> None:
    home.chmod(rights)
    only(run_checks(), "home", words, f"chmod 700 {home}")


@pytest.mark.parametrize(("name", "file"), [("store", "store"), ("database file", "unitscope.sqlite3")])
def test_open_files_are_reported_only_if_the_home_can_be_entered(
    home: Path, run_checks: Callable[..., list[Check]], name: str, file: str
) -> None:
    (home / file).chmod(0o777 if (home / file).is_dir() else 0o644)
    assert run_checks()[0].well
    home.chmod(0o711)
    only(run_checks(), name, "by other users", "chmod")


def test_a_store_outside_of_the_home_is_checked_separately(
    tmp_path: Path, run_checks: Callable[..., list[Check]]
) -> None:
    (tmp_path / "pictures").mkdir(mode=0o755)
    (tmp_path / "pictures").chmod(0o755)
    only(run_checks(store=str(tmp_path / "pictures")), "store", "pictures can be read by")


@pytest.mark.parametrize("rights", [0o644, 0o640])
def test_a_readable_config_file_with_a_password_is_reported(
    home: Path, run_checks: Callable[..., list[Check]], rights: int
) -> None:
    config = home / "config.toml"
    config.write_text(f"redis_url = 'redis://:{SECRET}@127.0.0.1:1/0'\n")
    config.chmod(rights)
    only(run_checks(), "config file", "has the password of redis_url", f"chmod 600 {config}")
    config.chmod(0o600)
    assert run_checks()[0].well


def test_a_config_file_without_a_password_may_be_readable_but_not_writable(
    home: Path, run_checks: Callable[..., list[Check]]
) -> None:
    config = home / "config.toml"
    config.write_text("threads = 1\n")
    config.chmod(0o644)
    assert run_checks()[0].well
    config.chmod(0o666)
    only(run_checks(), "config file", "read and written by")


def test_a_readable_password_file_is_reported(tmp_path: Path, run_checks: Callable[..., list[Check]]) -> None:
    file = tmp_path / "password"
    file.write_text(SECRET)
    file.chmod(0o644)
    only(run_checks(redis_url=f"redis://127.0.0.1:1/0?password_file={file}"), "password_file", f"chmod 600 {file}")


def test_a_readable_file_with_a_url_is_reported(tmp_path: Path, run_checks: Callable[..., list[Check]]) -> None:
    file = tmp_path / "url"
    file.write_text(f"redis://:{SECRET}@127.0.0.1:1/0")
    file.chmod(0o640)
    only(run_checks(redis_url_file=str(file)), "ANALYZE_REDIS_URL_FILE", "read by", f"chmod 600 {file}")


@pytest.mark.parametrize(
    "options",
    [
        {"redis_url": f"redis://:{SECRET}@127.0.0.1:1/0"},
        {"redis_url": f"redis://127.0.0.1:1/0?password={SECRET}"},
        {"database_url": f"postgresql://user:{SECRET}@127.0.0.1:1/x"},
        {"database_url": f"postgresql://user@127.0.0.1:1/x?password={SECRET}"},
    ],
)
def test_a_password_in_an_option_is_reported(
    run_checks: Callable[..., list[Check]], options: Mapping[str, str]
) -> None:
    (name,) = options
    only(run_checks(options), name, "ps", f"ANALYZE_{name.upper()}")


def test_an_option_without_a_password_is_ok(run_checks: Callable[..., list[Check]]) -> None:
    assert run_checks({"database_url": "postgresql://user@127.0.0.1:1/x?passfile=/x"})[0].well


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("", "without TLS"),
        ("?sslmode=prefer", "without TLS"),
        ("?sslmode=require", "sslmode=require"),
        ("?sslmode=verify-ca", "sslmode=verify-ca"),
    ],
)
def test_a_remote_database_without_verified_tls_is_reported(
    run_checks: Callable[..., list[Check]], query: str, says: str
) -> None:
    only(
        run_checks(database_url=f"postgresql://user@db.invalid/x{query}"), "database", says, "sslmode=verify-full"
    )
    assert (
        "db.invalid"
        in run_checks(database_url=f"postgresql:///x?host=db.invalid{query.replace('?', '&')}")[0].found
    )


def test_verified_tls_and_local_servers_are_ok(run_checks: Callable[..., list[Check]]) -> None:
    for url in (
        "postgresql://user@db.invalid/x?sslmode=verify-full",
        "postgresql://user@localhost/x",
        "postgresql:///x?host=/run/postgresql",
        "postgresql:///x",
    ):
        assert run_checks(database_url=url)[0].well, url


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
def test_a_remote_redis_without_verified_tls_is_reported(
    run_checks: Callable[..., list[Check]], url: str, says: str
) -> None:
    only(run_checks(redis_url=url), "redis", says, "redis.invalid:6379")


@pytest.fixture
def redis_port(tmp_path: Path) -> Iterator[int]:
    """The port of a Redis server with a password."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    with redis_with_password(tmp_path, port=port):
        yield port


def test_a_redis_without_a_password_is_reported(run_checks: Callable[..., list[Check]], redis_port: int) -> None:
    url = redis_url(f"127.0.0.1:{redis_port}", scheme="redis")
    assert run_checks(redis_url=url, ask=True)[0].well
    Broker(url).redis.execute_command("ACL", "SETUSER", "default", "nopass")
    only(run_checks(redis_url=url, ask=True), "redis", "without a password", "requirepass")
    only(run_checks(redis_url=f"redis://127.0.0.1:{redis_port}/0", ask=True), "redis", "without a password")


def test_a_redis_that_listens_on_all_addresses_is_reported(
    run_checks: Callable[..., list[Check]], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    with redis_with_password(tmp_path, port=port, bind="*"):
        url = redis_url(f"127.0.0.1:{port}", scheme="redis")
        only(run_checks(redis_url=url, ask=True), "redis", "all addresses")


def test_servers_with_verified_tls_are_ok(
    home: Path,
    secured: SecuredDatabase,
    redis_tls: TlsProxy,
    postgresql_tls: TlsProxy,
    certificates: Certificates,
) -> None:
    """The complete command runs against real servers."""
    query = f"sslmode=verify-full&sslrootcert={certificates.ca}"
    analyze = Analyze(home, secured.url(f"localhost:{postgresql_tls.port}", query=query))
    analyze.environment["ANALYZE_REDIS_URL"] = redis_url(
        f"localhost:{redis_tls.port}", query=f"ssl_ca_certs={certificates.ca}"
    )
    analyze("db", "upgrade")
    checks = {check["name"]: check for check in analyze.json("doctor")["checks"]}
    for name in ("database", "redis", "access"):
        assert checks[name]["well"], checks[name]


def test_warnings_are_printed_as_text_and_json_with_exit_code_0(home: Path) -> None:
    home.chmod(0o755)
    analyze = Analyze(home)
    assert (
        f"warning access to home: {home} can be read by other users  chmod 700 {home}" in analyze("doctor").stdout
    )
    checks = json.loads(analyze("doctor", "--json").stdout)["checks"]
    named = {check["name"]: (check["well"], check["exit_code"]) for check in checks}
    assert named["access to home"] == (False, 0)


def test_help_warns_against_passwords_in_options(tmp_path: Path) -> None:
    words = " ".join(Analyze(tmp_path)("--help").stdout.split())
    assert words.count("Don't give a password here") == 2


def test_settings_do_not_show_their_urls_in_tracebacks() -> None:
    shown = repr(Settings(redis_url=f"redis://:{SECRET}@x", database_url=f"postgresql://u:{SECRET}@x/y"))
    assert SECRET not in shown
