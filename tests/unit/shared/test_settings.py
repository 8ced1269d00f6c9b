"""Settings: defaults < TOML file < environment < options, and every mistake said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shared.errors import BadSettings
from shared.settings import Settings, config_file, environment, load_settings, origins, redacted


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of our own, in an environment that says nothing."""
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


def test_without_anything_the_defaults_hold(home: Path) -> None:
    settings = load_settings()
    assert settings.home == home
    assert settings.resolved_database_url == f"sqlite:///{home / 'unitscope.sqlite3'}"
    assert settings.resolved_store == home / "store"
    assert settings.uses_private_redis
    assert (settings.lease_seconds, settings.heartbeat_seconds, settings.threads) == (30, 3, None)


def test_each_source_beats_the_one_before(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().lease_seconds == 30
    write(home, "lease_seconds = 10\nheartbeat_seconds = 1\nthreads = 2")
    assert load_settings().lease_seconds == 10
    monkeypatch.setenv("ANALYZE_LEASE_SECONDS", "20")
    monkeypatch.setenv("ANALYZE_HEARTBEAT_SECONDS", "2")
    assert load_settings().lease_seconds == 20
    settings = load_settings({"lease_seconds": 40})
    assert (settings.lease_seconds, settings.heartbeat_seconds, settings.threads) == (40, 2, 2)


def test_an_option_that_was_not_given_is_none_and_counts_for_nothing(home: Path) -> None:
    write(home, 'database_url = "postgresql://db/x"')
    settings = load_settings({"database_url": None, "home": None, "store": None, "redis_url": None})
    assert settings.resolved_database_url == "postgresql://db/x"


@pytest.mark.parametrize("given", ["option", "environment"])
def test_the_file_is_that_of_the_home_in_force(
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


def test_the_file_can_be_named(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home, "threads = 1")
    elsewhere = tmp_path / "elsewhere.toml"
    elsewhere.write_text("threads = 3")
    monkeypatch.setenv("ANALYZE_CONFIG", str(elsewhere))
    assert load_settings().threads == 3
    assert config_file(home) == elsewhere


def test_a_file_that_is_named_but_not_there_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANALYZE_CONFIG", str(tmp_path / "missing.toml"))
    with pytest.raises(BadSettings, match=r"missing\.toml"):
        load_settings()


@pytest.mark.parametrize(
    "name", ["HOME", "DATABASE_URL", "REDIS_URL", "STORE", "LEASE_SECONDS", "THREADS", "CONFIG"]
)
def test_an_empty_variable_is_none(home: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """As shells and compose files give it: ``ANALYZE_REDIS_URL=``."""
    monkeypatch.setenv(f"ANALYZE_{name}", "")
    settings = load_settings()
    assert settings == Settings(home=home)
    assert settings.uses_private_redis
    assert origins({}).get(name.lower(), "default") == "default"


# --- paths ---


def test_relative_paths_mean_the_folder_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


# --- mistakes ---


@pytest.mark.parametrize(
    ("toml", "said"),
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
def test_a_wrong_line_of_the_file_is_named(home: Path, toml: str, said: str) -> None:
    write(home, toml)
    with pytest.raises(BadSettings, match=said) as raised:
        load_settings()
    assert raised.value.exit_code == 2


def test_all_mistakes_are_said_at_once(home: Path) -> None:
    write(home, "lease = 3\nthreads = 0")
    with pytest.raises(BadSettings, match="lease") as raised:
        load_settings()
    assert "threads" in str(raised.value)


@pytest.mark.parametrize("toml", ["lease_seconds =", "lease_seconds = 3\nlease_seconds = 4", "[", "\x00"])
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


def test_a_file_that_is_no_text_is_said(home: Path) -> None:
    write(home, "").write_bytes(b"threads = '\xff'")
    with pytest.raises(BadSettings):
        load_settings()


def test_a_heartbeat_that_comes_after_the_lease_is_over_is_refused() -> None:
    """Every shard would be taken from its worker, three times, and the job would fail."""
    with pytest.raises(BadSettings, match="heartbeat_seconds"):
        load_settings({"lease_seconds": 3, "heartbeat_seconds": 3})


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANALYZE_THREADS", "many")
    with pytest.raises(BadSettings, match="threads"):
        load_settings()


def test_other_variables_are_none_of_our_business(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANALYZE_WORKER_NAME", "w")
    assert load_settings() == Settings(home=home)


@pytest.mark.parametrize("url", ["postgresql://user:secret@db:port/x", "://user:secret@db", "user:secret@db"])
def test_a_wrong_url_is_said_without_its_password(url: str) -> None:
    with pytest.raises(BadSettings) as raised:
        load_settings({"database_url": url})
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["oracle://db/x", "mysql+pymysql://u:secret@db/x", "postgres://db/x", "nonsense://x"]
)
def test_a_database_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(BadSettings, match="database_url") as raised:
        load_settings({"database_url": url})
    assert "secret" not in str(raised.value)


# --- where values come from ---


def test_origins_tell_where_each_value_comes_from(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(home, "threads = 2\nlease_seconds = 10\nsweep_seconds = 1")
    monkeypatch.setenv("ANALYZE_LEASE_SECONDS", "20")
    monkeypatch.setenv("ANALYZE_DATABASE_URL", "sqlite://")
    found = origins({"database_url": "sqlite:///x", "store": None})
    assert set(found) == set(Settings.model_fields)
    assert found["database_url"] == "option"
    assert found["lease_seconds"] == "environment"
    assert found["threads"] == found["sweep_seconds"] == str(path)
    assert found["store"] == found["home"] == "default"


# --- handing over ---


def test_what_a_program_is_told_gives_it_the_same_settings(
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
    told = environment(settings)
    assert all(name.startswith("ANALYZE_") and isinstance(value, str) for name, value in told.items())
    monkeypatch.chdir("/")
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert load_settings() == settings


def test_what_is_not_set_is_not_told(home: Path) -> None:
    told = environment(load_settings())
    assert not {"ANALYZE_DATABASE_URL", "ANALYZE_REDIS_URL", "ANALYZE_STORE", "ANALYZE_THREADS"} & set(told)
    assert told["ANALYZE_HOME"] == str(home)


def test_a_program_that_is_told_reads_the_same_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_passwords_are_not_shown(url: str) -> None:
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
def test_the_rest_of_a_url_is_shown(url: str, shown: str) -> None:
    assert redacted(url) == shown
