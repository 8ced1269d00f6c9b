"""Homes whose path has characters with a meaning in URLs, configuration files, or shells."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from producer.service.private_redis import private_redis
from shared.database.connection import Database
from shared.jobs.broker import broker_for
from shared.settings import Settings, environment, load_settings, sqlite_url
from tests.conftest import fresh_database
from tests.integration.cli.helpers import NETWORK, Home
from tests.wild.generators.environment import HOMES

NAMES = pytest.mark.parametrize("name", HOMES.values(), ids=HOMES)
ODD = "feature%2Flogin ?a=1&b#c @h:1 ü"  # nearly all of them, and short enough for a socket


@NAMES
def test_a_url_of_a_file_names_the_file(tmp_path: Path, name: str) -> None:
    file = tmp_path / name / "x.sqlite3"
    database = Database(sqlite_url(file))
    assert database.url.database == str(file)
    with database.write() as session:
        session.connection().exec_driver_sql("CREATE TABLE t (x)")
    database.close()
    assert sqlite3.connect(file).execute("SELECT name FROM sqlite_master").fetchall() == [("t",)]


@NAMES
def test_the_database_is_in_the_home(tmp_path: Path, name: str) -> None:
    home, other = Home(tmp_path / name), Home(tmp_path / "other")
    home("ls")
    other("ls")
    databases = {file.relative_to(tmp_path) for file in tmp_path.rglob("*.sqlite3")}
    assert databases == {Path(name) / "unitscope.sqlite3", Path("other/unitscope.sqlite3")}
    assert home.json("query", "SELECT count(*) AS jobs FROM jobs") == [{"jobs": 0}]
    home("db", "backup", home.home / "copy.sqlite3")
    assert (home.home / "copy.sqlite3").stat().st_size > 10_000


def test_two_homes_of_one_decoded_name_share_nothing(tmp_path: Path, shapes_root: Path) -> None:
    encoded, decoded = Home(tmp_path / "a%2Fb"), Home(tmp_path / "a" / "b")
    encoded("dataset", "add", "shapes", "--root", shapes_root)
    assert decoded.json("dataset", "ls") == []
    assert [row["name"] for row in encoded.json("dataset", "ls")] == ["shapes"]


@NAMES
def test_the_private_redis_answers_in_the_home(name: str) -> None:
    with TemporaryDirectory(prefix="u") as folder:  # short enough for a socket, unlike pytest's
        settings = Settings(home=Path(folder) / name)
        _check_private_redis(settings)


def _check_private_redis(settings: Settings) -> None:
    with private_redis(settings):
        broker = broker_for(settings)
        broker.send([(1, "cpu")])  # through Celery
        assert broker.depth("cpu") == 1
        assert (settings.home / "redis" / "redis.sock").is_socket()


@NAMES
def test_a_started_process_has_the_same_home(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings({"home": tmp_path / name})
    for variable, value in environment(settings).items():
        monkeypatch.setenv(variable, value)
    assert load_settings() == settings


def test_doctor_points_to_the_database_of_an_earlier_version(tmp_path: Path) -> None:
    home = Home(tmp_path / "a%2Fb")
    earlier = tmp_path / "a" / "b" / "unitscope.sqlite3"
    earlier.parent.mkdir(parents=True)
    earlier.touch()
    home.home.mkdir()
    (check,) = (check for check in home.json("doctor")["checks"] if check["name"] == "home")
    assert str(earlier) in check["found"]
    assert str(home.home) in check["remedy"]


def test_a_home_that_is_not_text_is_refused(fresh: Home) -> None:
    fresh.environment["ANALYZE_HOME"] = os.fsdecode(b"/tmp/\xff")
    done = fresh("ls", code=2)
    assert "ANALYZE_HOME" in done.stderr
    assert "UTF-8" in done.stderr


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_data_set_and_a_job_of_an_odd_home(
    tmp_path: Path, shapes_root: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    url = fresh_database(kind, request, tmp_path) if kind == "postgresql" else None
    home = Home(tmp_path / ODD, url)
    root = tmp_path / f"data {ODD}"
    root.symlink_to(shapes_root)
    home("db", "upgrade")
    home("dataset", "add", "shapes", "--root", root)
    home("submit", "train", "--dataset", "shapes", *NETWORK, "--epochs", "1")
    assert [job["state"] for job in home.json("ls")] == ["queued"]
    assert (home.home / "unitscope.sqlite3").exists() == (kind == "sqlite")


def test_a_service_in_an_odd_home_trains_searches_and_draws(tmp_path: Path, shapes_root: Path) -> None:
    home = Home(tmp_path / ODD)
    home("dataset", "add", "shapes", "--root", shapes_root)
    home.up()
    try:
        train = ("submit", "train", "--dataset", "shapes", *NETWORK, "--epochs", "1", "--tensorboard", "--wait")
        run = home(*train).stdout.strip()
        job = home("submit", "--layer", "1", "--units", "0-1", "--dataset", "shapes", "--run", run, "--wait")
        page = tmp_path / "a page?#.html"
        home("results", job.stdout.strip(), "--html", page)
    finally:
        home.stop()
    assert page.read_text().count("data:image/png;base64,") >= 2  # no links, which would need quoting
    assert list((home.home / "store" / "tensorboard").rglob("events.*"))
    assert {file.parent for file in tmp_path.rglob("*.sqlite3")} == {home.home}
