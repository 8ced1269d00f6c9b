"""Parts of the benchmark of the gallery: its database, its addresses, and its clients."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import func, select
from starlette.testclient import TestClient

from benchmarks.gallery.addresses import SLOW, Contents, own_layer, pages, pictures
from benchmarks.gallery.clients import first_bytes, load, percentile
from benchmarks.gallery.filling import fill_database, link_mosaics
from benchmarks.gallery.models import Models
from producer.gallery.application import all_pages, create_app
from producer.gallery.page import Gallery
from producer.gallery.pages import DOCUMENT_ROUTES
from shared.database.connection import Database
from shared.jobs.tables import Job
from shared.kinds.top9.tables import SearchedLayer, SearchedUnit, TopActivation, UnitStatistics
from tests.threads import in_new_thread
from tests.unit.gallery.databases import DONE_RUN, SEARCH, SWEEP, UNITS, build

JOBS, RAN = 16, 6  # jobs, and those of the small home
ROWS = 2 * UNITS * 3  # of a search: layers, units, ranks
SEARCHES = 7  # copies
OWN = 2 * 2 * UNITS  # units of the last two searches


@pytest.fixture
def small(tmp_path: Path, sqlite_template: Path) -> Iterator[Gallery]:
    """The gallery whose rows are copied."""
    gallery = build(tmp_path / "small", sqlite_template)
    yield gallery
    gallery.database.close()


@pytest.fixture
def filled(small: Gallery, database: Database) -> Gallery:
    """The gallery of a database, SQLite or PostgreSQL, that is filled with copies of a small one's jobs."""
    kind = "sqlite" if database.is_sqlite else "postgresql"
    fill_database(database, kind, models(small), (SEARCHES + 1) * ROWS, JOBS, OWN)
    return Gallery(small.settings, database, small.store)


def models(small: Gallery) -> Models:
    jobs = {"top9": SEARCH, "occlusion": SWEEP, "train": DONE_RUN}
    return Models(SimpleNamespace(), small.database, Path(), jobs)  # type: ignore[arg-type]


def count(gallery: Gallery, table: Any, *conditions: Any) -> int:
    with gallery.database.read() as session:
        return session.scalar(select(func.count()).select_from(table).where(*conditions)) or 0


def test_the_database_has_the_rows_and_jobs(filled: Gallery, small: Gallery) -> None:
    assert count(filled, Job) == JOBS
    for table in (TopActivation, UnitStatistics, SearchedUnit, SearchedLayer):
        of_search = count(small, table, _of_search(table))
        assert count(filled, table) - count(small, table) == SEARCHES * of_search > 0
    assert count(filled, Job, Job.kind == "occlusion") > 1
    assert count(filled, Job, Job.kind == "train") > 2


def _of_search(table: Any) -> Any:
    if table is SearchedLayer:
        return SearchedLayer.job_id == SEARCH
    return table.layer_id.in_(select(SearchedLayer.id).where(SearchedLayer.job_id == SEARCH))


def test_only_the_last_searches_have_mosaics_of_their_own(filled: Gallery, small: Gallery) -> None:
    files = link_mosaics(filled.database, filled.store.root, models(small))
    with filled.database.read() as session:
        paths = select(SearchedUnit.patches_path).distinct()
        originals = set(session.scalars(paths.where(_of_search(SearchedUnit))))
        every = set(session.scalars(paths))
    assert len(every - originals) == files == 2 * len(originals)
    for path in every:
        assert filled.store.locate(path).read_bytes()


def test_new_rows_get_ids_beyond_the_copies(filled: Gallery) -> None:
    with filled.database.write() as session:
        session.add(SearchedLayer(job_id=JOBS, layer="new", layer_path="new"))
    with filled.database.read() as session:
        new = session.scalars(select(SearchedLayer.id).where(SearchedLayer.layer == "new")).one()
        assert new == session.scalar(select(func.max(SearchedLayer.id)))


def test_every_kind_of_page_has_an_address_that_answers(
    filled: Gallery, small: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.gallery.addresses.STUDY", "none")
    link_mosaics(filled.database, filled.store.root, models(small))
    contents = Contents.read(filled.database, models(small).jobs, OWN)
    found = {**pages(contents), **pictures(contents)}
    names = {name.partition("?")[0].partition(" ")[0] for name in found}
    paths = {page.path for page in all_pages() if page.template} | {path for path, _ in DOCUMENT_ROUTES}
    assert len(names & {name for name in names if name.startswith("/")}) >= len(paths)
    client = TestClient(create_app(filled), base_url="http://127.0.0.1:8080")
    generator = random.Random(0)
    for name, make in found.items():
        address = make(generator)
        if name in SLOW or name.startswith("/studies/"):  # the small home has no study
            continue
        assert client.get(address).status_code == 200, address
    assert client.get(own_layer(contents)(generator)).status_code == 200


def test_a_page_with_an_unknown_parameter_is_named(filled: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = Contents.read(filled.database, {"top9": SEARCH, "occlusion": SWEEP}, OWN)
    new = SimpleNamespace(path="/new/{colour}", template="x")
    monkeypatch.setattr("benchmarks.gallery.addresses.all_pages", lambda: [new])
    with pytest.raises(RuntimeError, match=r"/new/.*colour"):
        pages(contents)


class Answers(BaseHTTPRequestHandler):
    """Answers with the status in the address; ``/0`` ends the connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        status = int(self.path[1:])
        if not status:
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[int]:
    """Port of a server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as answering:
        thread = threading.Thread(target=answering.serve_forever)
        thread.start()
        yield answering.server_port
        answering.shutdown()
        thread.join()


def test_load_counts_failures(server: int) -> None:
    done = in_new_thread(load, "127.0.0.1", server, [lambda _: "/200"], 5, most=50)
    assert (len(done.seconds), done.failures) == (50, [])
    for address in ("/0", "/503"):
        done = in_new_thread(load, "127.0.0.1", server, [lambda _, address=address: address], 5, most=20)
        assert (len(done.seconds), len(done.failures), done.count) == (0, 20, 20)
        assert done.failures[0].startswith(f"{address}: ")


def test_first_bytes_are_those_of_each_page(server: int) -> None:
    pages = {"a": lambda _: "/200", "b": lambda _: "/200"}
    began = time.monotonic()
    found = first_bytes("127.0.0.1", server, pages, {"a": 4, "b": 2}, {"b": 0.2})
    assert time.monotonic() - began >= 3 * 0.2  # before the warm-up and two requests
    assert sum(found["b"]) < sum(found["a"]) + 2 * 0.2  # which doesn't count
    assert [len(seconds) for seconds in found.values()] == [4, 2]
    assert min(found["a"]) > 0
    with pytest.raises(RuntimeError, match="/500: 500 ok"):
        first_bytes("127.0.0.1", server, {"a": lambda _: "/500"}, {"a": 1}, {})


def test_percentiles() -> None:
    assert percentile([3.0], 95) == 3.0
    assert percentile([float(number) for number in range(101)], 95) == 95.0
