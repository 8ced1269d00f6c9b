"""``analyze metrics --port`` as a process: it runs while the database is away, and answers when that hangs."""

from __future__ import annotations

import shutil
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from shared.database.connection import Database
from shared.database.schema import NEWEST_REVISION
from tests.conftest import Analyze, fresh_database
from tests.integration.monitoring.forwarder import Forwarder
from tests.integration.monitoring.helpers import samples

UP = "unitscope_database_up"
AT_MOST = 8  # seconds: the limit of 5, and a busy machine


def start(analyze: Analyze) -> str:
    """Start the exporter, and return its address and port."""
    process = analyze.start("metrics", "--port", "0")
    analyze.wait(lambda: "http://" in analyze.log(), process)
    return analyze.log().split("http://")[1].split("/")[0]


def scrape(address: str) -> tuple[dict[str, float], float]:
    """Return the samples, and the seconds that the scrape took."""
    began = time.monotonic()
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    return samples(text), time.monotonic() - began


def test_the_command_prints_and_serves(analyze: Analyze) -> None:
    printed = samples(analyze("metrics").stdout)
    fetched, _ = scrape(start(analyze))
    assert fetched[UP] == 1
    assert {name for name in fetched if "seconds" not in name} == {n for n in printed if "seconds" not in n}
    analyze.stop()
    assert analyze.started[0].wait() in (130, -15)


def test_the_exporter_only_reads(analyze: Analyze) -> None:
    """A SQLite file that isn't there (yet) is neither created nor a reason to end."""
    address = start(analyze)
    assert scrape(address)[0][UP] == 0
    assert not (analyze.home / "unitscope.sqlite3").exists()
    analyze("ls")
    assert scrape(address)[0][UP] == 1


@pytest.fixture
def forwarder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Forwarder, str]]:
    """A closed forwarder in front of PostgreSQL, and the URL of an empty database behind it."""
    url = fresh_database("postgresql", request, tmp_path)
    (folder,) = parse_qs(urlsplit(url).query)["host"]
    forwarder = Forwarder(Path(folder) / ".s.PGSQL.5432")
    database = Database(url)
    yield forwarder, database.url.update_query_dict({"host": str(forwarder.folder)}).render_as_string(False)
    forwarder.close()
    shutil.rmtree(forwarder.folder)


def test_the_exporter_outlives_its_database(tmp_path: Path, forwarder: tuple[Forwarder, str]) -> None:
    """It starts without one, says which schema it finds, answers in time while it hangs, and comes back."""
    server, url = forwarder
    analyze = Analyze(tmp_path / "home", url)
    try:
        address = start(analyze)
        assert scrape(address)[0][UP] == 0  # away

        server.open()
        empty, _ = scrape(address)
        assert (empty[UP], empty["unitscope_schema_matches"]) == (0, 0)
        assert empty[f"unitscope_schema_info found=none needed={NEWEST_REVISION}"] == 1
        analyze("db", "upgrade")
        assert scrape(address)[0][UP] == 1

        server.silent.set()
        for _ in range(2):  # the second one finds the first one's call hanging
            hanging, seconds = scrape(address)
            assert hanging[UP] == 0
            assert seconds < AT_MOST
        server.silent.clear()
        analyze.wait(lambda: scrape(address)[0][UP] == 1, seconds=30)

        server.close()
        assert scrape(address)[0][UP] == 0
        server.open()
        assert scrape(address)[0][UP] == 1
    finally:
        analyze.stop()
    told = analyze.log()
    assert "database: no answer within 5 seconds" in told
    assert told.count("database: ok again") == 3  # changes, not scrapes
