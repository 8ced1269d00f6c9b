"""Settings: defaults < TOML file < environment < options, and errors for invalid values."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from shared.config_file import config_file
from shared.errors import BadSettings
from shared.settings import (
    Settings,
    environment,
    has_secret,
    is_known_variable,
    load_settings,
    load_valid_settings,
    origins,
    redacted,
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary home folder, and an environment without ``ANALYZE_*`` variables."""
    for name in list(os.environ):
        if name.upper().startswith("ANALYZE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    home = tmp_path / "data" / "unitscope"
    home.mkdir(parents=True)
    return home


def write(home: Path, toml: str) -> Path:
    home.mkdir(parents=True, exist_ok=True)
    path = home / "config.toml"
    path.write_text(toml, encoding="utf-8")
    return path


# --- precedence ---


def test_defaults(home: Path) -> None:
    settings = load_settings()
    assert settings.home == home
    assert settings.resolved_database_url == f"sqlite:///{home / 'unitscope.sqlite3'}"
    assert settings.resolved_store == home / "store"
    assert settings.uses_private_redis
    assert (settings.lease_seconds, settings.heartbeat_seconds, settings.threads) == (30, 3, None)


def test_each_source_overrides_the_previous_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().lease_seconds == 30
    write(home, "lease_seconds = 10\nheartbeat_seconds = 1\nthreads = 2")
    assert load_settings().lease_seconds == 10
    monkeypatch.setenv("ANALYZE_LEASE_SECONDS", "20")
    monkeypatch.setenv("ANALYZE_HEARTBEAT_SECONDS", "2")
    assert load_settings().lease_seconds == 20
    settings = load_settings({"lease_seconds": 40})
    assert (settings.lease_seconds, settings.heartbeat_seconds, settings.threads) == (40, 2, 2)


def test_an_option_of_none_is_ignored(home: Path) -> None:
    write(home, 'database_url = "postgresql://db/x"')
    settings = load_settings({"database_url": None, "home": None, "store": None, "redis_url": None})
    assert settings.resolved_database_url == "postgresql://db/x"


@pytest.mark.parametrize("given", ["option", "environment"])
def test_the_file_is_read_from_the_home_folder_that_is_set(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    write(home, "threads = 1")
    other = tmp_path / "other"
    write(other, "threads = 7")
    options = {"home": other} if given == "option" else {}
    if given == "environment":
        monkeypatch.setenv("ANALYZE_HOME", str(other))
    assert load_settings(options).threads == 7
    assert origins(options)["threads"] == str(other / "config.toml")


def test_the_path_of_the_file_can_be_set(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home, "threads = 1")
    elsewhere = tmp_path / "elsewhere.toml"
    elsewhere.write_text("threads = 3")
    monkeypatch.setenv("ANALYZE_CONFIG", str(elsewhere))
    assert load_settings().threads == 3
    assert config_file(home) == elsewhere


def test_a_missing_file_that_was_set_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANALYZE_CONFIG", str(tmp_path / "missing.toml"))
    with pytest.raises(BadSettings, match=r"missing\.toml"):
        load_settings()


@pytest.mark.parametrize(
    "name", ["HOME", "DATABASE_URL", "REDIS_URL", "STORE", "LEASE_SECONDS", "THREADS", "CONFIG"]
)
def test_an_empty_variable_counts_as_unset(home: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Shells and compose files set empty variables: ``ANALYZE_REDIS_URL=``."""
    monkeypatch.setenv(f"ANALYZE_{name}", "")
    settings = load_settings()
    assert settings == Settings(home=home)
    assert settings.uses_private_redis
    assert origins({}).get(name.lower(), "default") == "default"


# --- paths ---


def test_relative_paths_are_relative_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings({"home": "here", "store": "there"})
    assert (settings.home, settings.store) == (tmp_path / "here", tmp_path / "there")
    assert settings.resolved_database_url == f"sqlite:///{tmp_path / 'here' / 'unitscope.sqlite3'}"


def test_a_tilde_is_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "user" / "unitscope", "threads = 5")
    monkeypatch.setenv("ANALYZE_HOME", "~/unitscope")
    monkeypatch.setenv("ANALYZE_STORE", "~/store")
    settings = load_settings()
    assert (settings.home, settings.store) == (tmp_path / "user" / "unitscope", tmp_path / "user" / "store")
    assert settings.threads == 5
    assert origins({})["threads"] == str(tmp_path / "user" / "unitscope" / "config.toml")


def test_the_cache_is_in_the_home_folder_and_its_limit_is_in_gigabytes(home: Path) -> None:
    assert load_settings().cache_folder == home / "cache"
    assert load_settings().cache_bytes == 20 * 2**30
    assert load_settings({"cache_gb": 0.5}).cache_bytes == 2**29
    assert load_settings({"cache_gb": 0}).cache_bytes == 0


# --- invalid values ---


@pytest.mark.parametrize(
    ("toml", "name"),
    [
        ("lease = 3", "lease"),
        ("[database]\nurl = 'sqlite://'", "database"),
        ("lease_seconds = 0", "lease_seconds"),
        ("lease_seconds = 'soon'", "lease_seconds"),
        ("threads = 0", "threads"),
        ("threads = 1.5", "threads"),
        ("cache_gb = -1", "cache_gb"),
        ("cache_gb = inf", "cache_gb"),
        ("cache_gb = nan", "cache_gb"),
        ("heartbeat_seconds = -1", "heartbeat_seconds"),
        ("heartbeat_seconds = nan", "heartbeat_seconds"),
        ("database_url = 3", "database_url"),
        ("database_url = 'no url'", "database_url"),
    ],
)
def test_an_invalid_line_of_the_file_is_named(home: Path, toml: str, name: str) -> None:
    write(home, toml)
    with pytest.raises(BadSettings, match=name) as raised:
        load_settings()
    assert raised.value.exit_code == 2


def test_all_invalid_values_are_reported_together(home: Path) -> None:
    write(home, "lease = 3\nthreads = 0")
    with pytest.raises(BadSettings, match="lease") as raised:
        load_settings()
    assert "threads" in str(raised.value)


@pytest.mark.parametrize(
    "toml",
    [
        "lease_seconds =",
        "lease_seconds = 3\nlease_seconds = 4",
        "[",
        "\x00",
        f"home = {'[' * 20_000}",
        f"threads = {'9' * 5000}",
    ],
    ids=range(6),
)
@pytest.mark.parametrize("given", ["default", "option", "environment"])
def test_a_broken_file_is_named(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toml: str, given: str
) -> None:
    if given != "default":
        home = tmp_path / "other"
    if given == "environment":
        monkeypatch.setenv("ANALYZE_HOME", str(home))
    path = write(home, toml)
    with pytest.raises(BadSettings) as raised:
        load_settings({"home": home} if given == "option" else {})
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    "toml",
    [
        "lease_seconds = inf",
        "sweep_seconds = inf",
        "resend_seconds = 1e300",
        "heartbeat_seconds = nan",
        "cache_gb = 1e308",
        "threads = 100000000000000000000",
        r'store = "a\u0000b"',
        r'redis_url = "redis://h\u000d:6379/0"',
    ],
)
def test_a_value_that_would_fail_later_is_refused(home: Path, toml: str) -> None:
    """Infinity can't be waited for and is no time of a database; a lease of it would never expire."""
    write(home, toml)
    with pytest.raises(BadSettings, match=rf"{toml.split()[0]}.*config.toml, line 1"):
        load_settings()


def test_a_file_that_is_not_utf8_is_refused(home: Path) -> None:
    write(home, "").write_bytes(b"threads = '\xff'")
    with pytest.raises(BadSettings):
        load_settings()


def test_a_heartbeat_interval_as_long_as_the_lease_is_refused() -> None:
    """Every lease would expire, and every job would fail after three attempts."""
    with pytest.raises(BadSettings, match="heartbeat_seconds"):
        load_settings({"lease_seconds": 3, "heartbeat_seconds": 3})


def test_an_invalid_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANALYZE_THREADS", "many")
    with pytest.raises(BadSettings, match="threads"):
        load_settings()


def test_variables_of_workers_and_of_service_links_are_ignored(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WORKER_NAME", "SERVICE_HOST", "PORT", "REDIS_SERVICE_PORT", "REDIS_PORT_6379_TCP_ADDR"):
        monkeypatch.setenv(f"ANALYZE_{name}", "w")
    assert load_settings() == Settings(home=home)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("ANALYZE_DATABSE_URL", "ANALYZE_DATABASE_URL"),
        ("ANALYZE_THREAD", "ANALYZE_THREADS"),
        ("ANALYZE_REDIS_URL_FIL", "ANALYZE_REDIS_URL"),
        ("analyze_Stoer", "ANALYZE_STORE"),
        ("ANALYZE_BUILD_NUMBER", ""),
    ],
)
def test_an_unknown_variable_is_an_error(monkeypatch: pytest.MonkeyPatch, name: str, nearest: str) -> None:
    """A misspelt URL would otherwise use the default: a new, empty database."""
    monkeypatch.setenv(name, "x")
    with pytest.raises(BadSettings) as raised:
        load_settings()
    assert raised.value.exit_code == 2
    assert name.upper() in str(raised.value)
    assert f"did you mean {nearest}?" in str(raised.value) if nearest else "did you mean" not in str(raised.value)
    monkeypatch.setenv(name, "")
    load_settings()


def test_every_variable_that_the_programs_use_is_known() -> None:
    """Otherwise they would refuse what they set for their own workers."""
    root = Path(__file__).parents[3]
    files = [
        file for folder in ("producer", "shared", "worker", "unitscope") for file in root.glob(f"{folder}/**/*.py")
    ]
    names = {name for file in files for name in re.findall(r"ANALYZE_[A-Z_]*[A-Z]\b", file.read_text())}
    assert len(names) > 5
    assert {name for name in names if not is_known_variable(name)} == set()


# --- files with URLs ---

URL = "postgresql+psycopg://user:se%40cret@db/x"


@pytest.fixture
def url_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "a secret"
    file.write_text(f"  {URL}\n")
    monkeypatch.setenv("ANALYZE_DATABASE_URL_FILE", str(file))
    return file


def test_a_url_can_be_in_a_file(url_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().database_url == URL
    assert origins({})["database_url"] == str(url_file)
    assert load_settings({"database_url": "sqlite:///x"}).database_url == "sqlite:///x"
    for name, value in environment(load_settings()).items():  # of a child process
        monkeypatch.setenv(name, value)
    assert load_settings().database_url == URL


@pytest.mark.parametrize("name", ["redis_url", "query_database_url"])
def test_each_url_can_be_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    url = {"redis_url": "redis://:secret@r:1/0"}.get(name, URL)
    (tmp_path / "url").write_text(url)
    monkeypatch.setenv(f"ANALYZE_{name.upper()}_FILE", str(tmp_path / "url"))
    assert getattr(load_settings(), name) == url


@pytest.mark.parametrize(
    "content", [None, b"", b" \n", b"\xff", b"://user:secret@db", b"a://secret\nb", b"x" * 20_000]
)
def test_the_error_for_a_file_names_it_and_not_its_content(url_file: Path, content: bytes | None) -> None:
    url_file.unlink()
    if content is not None:
        url_file.write_bytes(content)
    with pytest.raises(BadSettings) as raised:
        load_settings()
    assert str(url_file) in str(raised.value)
    assert "ANALYZE_DATABASE_URL_FILE" in str(raised.value)
    assert "secret@" not in str(raised.value)
    settings, problems = load_valid_settings()
    assert settings.database_url is None
    assert [problem.setting for problem in problems] == ["database_url"]


def test_a_variable_and_its_file_exclude_each_other(url_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANALYZE_DATABASE_URL", "sqlite:///x")
    with pytest.raises(BadSettings, match="ANALYZE_DATABASE_URL_FILE"):
        load_settings()


@pytest.mark.parametrize("url", ["postgresql://user:secret@db:port/x", "://user:secret@db", "user:secret@db"])
def test_the_error_for_an_invalid_url_does_not_contain_its_password(url: str) -> None:
    with pytest.raises(BadSettings) as raised:
        load_settings({"database_url": url})
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        *("oracle://db/x", "mysql+pymysql://u:secret@db/x", "postgres://db/x", "nonsense://x"),
        *("sqlite://secret@/y", "sqlite://u:secret@h/y", "sqlite://secret/y"),
    ],
)
def test_an_unsupported_database_is_refused(url: str) -> None:
    with pytest.raises(BadSettings, match="database_url") as raised:
        load_settings({"database_url": url})
    assert "secret" not in str(raised.value)


# --- where values come from ---


def test_origins_name_the_source_of_each_value(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(home, "threads = 2\nlease_seconds = 10\nsweep_seconds = 1")
    monkeypatch.setenv("ANALYZE_LEASE_SECONDS", "20")
    monkeypatch.setenv("ANALYZE_DATABASE_URL", "sqlite://")
    found = origins({"database_url": "sqlite:///x", "store": None})
    assert set(found) == set(Settings.model_fields)
    assert found["database_url"] == "option"
    assert found["lease_seconds"] == "environment"
    assert found["threads"] == found["sweep_seconds"] == str(path)
    assert found["store"] == found["home"] == "default"


# --- settings of child processes ---


def test_the_environment_gives_a_child_process_the_same_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings(
        {
            "home": "a home",
            "store": "store",
            "database_url": "postgresql+psycopg://user:p%40ss@db/x?sslmode=require",
            "redis_url": "redis://:geheim@redis:6379/1",
            "lease_seconds": 0.1 + 0.2,
            "heartbeat_seconds": 1e-3,
            "threads": 3,
        }
    )
    variables = environment(settings)
    assert all(name.startswith("ANALYZE_") and isinstance(value, str) for name, value in variables.items())
    monkeypatch.chdir("/")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert load_settings() == settings


def test_the_environment_has_no_unset_settings(home: Path) -> None:
    variables = environment(load_settings())
    assert not {"ANALYZE_DATABASE_URL", "ANALYZE_REDIS_URL", "ANALYZE_STORE", "ANALYZE_THREADS"} & set(variables)
    assert variables["ANALYZE_HOME"] == str(home)


def test_a_child_process_reads_the_same_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home, "threads = 4\nredis_url = 'redis://r'")
    settings = load_settings()
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    assert load_settings() == settings


# --- passwords ---


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://user:secret@db:5432/x",
        "postgresql://user:secret@/x?host=/run/pg",
        "postgresql://user@db/x?password=secret",
        "postgresql://db/x?user=u&password=secret&sslmode=require",
        "postgresql://db/x?sslpassword=secret",
        "postgresql://db/x?options=-c%20app.password%3Dsecret",
        "postgresql://db/x?options=-c%20app.vault%3Dsecret",
        "postgresql://db/x?options=-c%20a%3D1&options=-c%20app.pwd%3Dsecret",
        "postgresql://db/?dbname=postgresql://u:secret@h/x",
        "postgresql://db/?dbname=password%3Dsecret",
        "redis://:secret@redis:6379/0",
        "rediss://user:secret@redis",
        "redis://redis:6379/0?password=secret",
        "unix://user:secret@/run/redis.sock?db=1",
        "unix:///run/redis.sock?password=secret",
        "redis://:a@secret@redis",
        "redis://:se/cret@redis:6379/0",
        "not a url at all: secret@x",
        "redis://:secret@[::1]:6379",
    ],
)
def test_passwords_are_redacted(url: str) -> None:
    shown = redacted(url)
    assert "secret" not in shown
    assert "cret" not in shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:////data/unitscope.sqlite3", "sqlite:////data/unitscope.sqlite3"),
        ("redis://redis:6379/0", "redis://redis:6379/0"),
        ("postgresql://user:secret@db/x", "postgresql://user:***@db/x"),
        ("redis://:secret@redis:6379/0", "redis://:***@redis:6379/0"),
        ("unix:///data/redis/redis.sock", "unix:///data/redis/redis.sock"),
    ],
)
def test_the_rest_of_a_url_is_not_redacted(url: str, shown: str) -> None:
    assert redacted(url) == shown


def test_only_options_with_secrets_count_as_secrets() -> None:
    assert has_secret("postgresql://db/x?options=-c%20app.password%3Dsecret")
    assert not has_secret("postgresql://db/x?options=-c%20search_path%3Da&sslmode=require&sslkey=/k")
