"""A page reads with one session, and so with one connection."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import event, select, text
from starlette.testclient import TestClient

from benchmarks.statements import count_statements
from producer.gallery.page import Gallery
from shared.database.connection import Database
from shared.database.identity import DatabaseIdentity
from shared.errors import DatabaseUnreachable
from tests.unit.gallery.databases import SEARCH


@pytest.fixture
def most_connections(small: Gallery) -> Iterator[list[int]]:
    """The largest number of connections that were in use at once; its only item."""
    most, used = [0], 0

    def change(by: int) -> None:
        nonlocal used
        used += by
        most[0] = max(most[0], used)

    event.listen(small.database.engine, "checkout", lambda *_: change(1))
    event.listen(small.database.engine, "checkin", lambda *_: change(-1))
    yield most
    assert used == 0


def test_reads_of_a_thread_have_one_session(database: Database) -> None:
    with database.one_session():
        with database.read() as first:
            one = first.scalars(select(DatabaseIdentity)).one()
        with database.read() as second, database.read() as inner:
            assert second is inner is first
            assert second.get(DatabaseIdentity, one.uuid) is one
    with database.read() as after:
        assert after is not first


def test_other_threads_have_others(database: Database) -> None:
    found = []

    def read() -> None:
        with database.read() as session:
            found.append(session)

    with database.one_session(), database.read() as own:
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
    assert found != [own]
    assert len(found) == 1


def test_an_error_ends_the_session(database: Database) -> None:
    def fail() -> None:
        with database.one_session(), database.read() as session:
            found.append(session)
            raise LookupError

    found: list[object] = []
    with pytest.raises(LookupError):
        fail()
    with database.read() as after:
        assert [after] != found


def test_a_server_that_is_gone_is_explained() -> None:
    database = Database("postgresql://127.0.0.1:1/none")

    def read() -> None:
        with database.one_session(), database.read() as session:
            session.execute(text("SELECT 1"))

    with pytest.raises(DatabaseUnreachable):
        read()


def test_a_page_has_one_connection_and_reads_its_job_once(
    small: Gallery, client: TestClient, most_connections: list[int]
) -> None:
    with count_statements(small.database) as statements:
        page = client.get(f"/jobs/{SEARCH}/layers/square/units/1")
    assert page.status_code == 200
    assert most_connections == [1]
    of_job = [one for one in statements if "FROM jobs" in one and "WHERE jobs.id = " in one]
    assert len(of_job) == 1
