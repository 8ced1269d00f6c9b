"""Invalid databases, schemas, folders and settings, and the output of `analyze doctor`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg

from shared.database.schema import NEWEST_REVISION
from tests.conftest import fresh_database
from tests.integration.cli.helpers import SECRET, Call, Home, closed_port, refusal


def test_nothing_is_drawn_or_read_for_an_unreachable_database(home: Home, tmp_path: Path) -> None:
    url = {"database_url": f"postgresql://user@127.0.0.1:{closed_port()}/db"}
    (done,) = home.many([(("dataset", "add", "shapes", "--images", "2", "--root", tmp_path / "new"), url)])
    refusal(done, 3, ("127.0.0.1",))
    assert not (tmp_path / "new").exists()


def test_folder_that_can_not_be_created_is_named(home: Home) -> None:
    done = home("dataset", "add", "shapes", "--images", "2", "--root", "/proc/x", "--name", "n", code=None)
    assert done.returncode in (1, 2)
    assert done.stderr.count("\n") <= 2
    assert "/proc" in done.stderr


def test_schema_too_new_is_refused_and_left_alone(fresh: Home, photos: Path) -> None:
    fresh("db", "upgrade")
    fresh.change("UPDATE alembic_version SET version_num = '9999'")
    calls: list[Call] = [((*words,), {}) for words in (("ls",), ("db", "upgrade"), ("doctor", "--quiet"))]
    calls.append((("dataset", "add", "folder", "--root", photos), {}))
    first, second, doctor, last = fresh.many(calls)
    for done in (first, second, last):
        refusal(done, 5, ("9999", "Update unitscope"))
    assert doctor.returncode == 5
    assert fresh.json("db", "version") == {
        "database": f"sqlite:///{fresh.home}/unitscope.sqlite3", "found": "9999", "needed": NEWEST_REVISION
    }  # fmt: skip


def test_schema_too_new_on_postgresql_is_refused(fresh: Home, request: Any, tmp_path: Path) -> None:
    url = fresh_database("postgresql", request, tmp_path)
    fresh.environment["ANALYZE_DATABASE_URL"] = url
    fresh("db", "upgrade")
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    refusal(fresh("ls", code=5), 5, ("9999", "Update unitscope"))


def test_empty_variables_count_as_not_set(fresh: Home) -> None:
    """As with Compose: ANALYZE_REDIS_URL=${REDIS_URL:-}."""
    names = ("database_url", "redis_url", "store", "lease_seconds", "threads")
    fresh.environment |= {f"ANALYZE_{name.upper()}": "" for name in names}
    assert fresh.json("ls") == []
    assert fresh("doctor", "--quiet", code=None).returncode == 1  # only the workers are missing


def test_quiet_doctor_prints_nothing_for_a_home_that_is_a_file(home: Home, places: dict[str, str]) -> None:
    (done,) = home.many([(("doctor", "--quiet"), {"home": places["@TEXT@"]})])
    assert done.returncode in (2, 3)
    assert (done.stdout, done.stderr) == ("", "")


def test_settings_file_of_a_home_with_a_tilde_is_read(fresh: Home, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.toml").write_text("resend_seconds = 0")
    fresh.environment |= {"HOME": str(tmp_path), "ANALYZE_HOME": "~/mine"}
    refusal(fresh("ls", code=2), 2, ("resend_seconds",))


def test_doctor_succeeds_with_default_settings(fresh: Home) -> None:
    answer = json.loads(fresh("doctor", "--json").stdout)
    assert [check["name"] for check in answer["checks"]] == [
        "home", "database", "redis", "workers", "images", "devices", "store", "store identity", "torch", "access"
    ]  # fmt: skip
    assert answer["settings"]["home"] == {"value": str(fresh.home), "from": "environment"}
    assert answer["settings"]["store"]["from"] == "default"


def test_doctor_reports_what_is_unreachable_and_shows_no_password(fresh: Home) -> None:
    for name, scheme in (("redis", "redis"), ("database", "postgresql")):
        fresh.environment[f"ANALYZE_{name.upper()}_URL"] = f"{scheme}://user:{SECRET}@127.0.0.1:{closed_port()}/0"
    done = fresh("doctor", "--json", code=3)
    assert SECRET not in done.stdout + done.stderr
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    for name in ("redis", "database"):
        assert not checks[name]["well"]
        assert "is unreachable" in checks[name]["found"]


def test_doctor_prints_errors_and_no_password(fresh: Home, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    fresh.environment["ANALYZE_STORE"] = str(tmp_path / "file")
    fresh.environment["ANALYZE_REDIS_URL"] = f"redis://127.0.0.1:{closed_port()}/0?password={SECRET}"
    done = fresh("doctor", code=None)
    assert done.returncode in (2, 3)
    assert SECRET not in done.stdout + done.stderr
    assert "error   redis: Redis at redis://127.0.0.1" in done.stdout
    assert "error   store: " in done.stdout
