"""Fixtures: a ledger on each database with a data set, and a job."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared.database.connection import Database
from shared.database.datasets import Dataset
from shared.database.schema import upgrade
from shared.jobs.ledger import Ledger
from shared.kinds.top9.specification import Top9Specification
from tests.conftest import fresh_database
from tests.integration.ledger.helpers import SHA256, Rivals, top9
from tests.integration.stored_schemas import load


@pytest.fixture
def dataset(database: Database) -> int:
    with database.write() as session:
        row = Dataset(
            name="voc", kind="voc", root="/data", options={}, fingerprint=SHA256, class_names=["cat", "dog"]
        )
        session.add(row)
        session.flush()
        return row.id


@pytest.fixture
def ledger(database: Database, dataset: int) -> Ledger:
    return Ledger(database)


@pytest.fixture
def specification(dataset: int) -> Top9Specification:
    return top9(dataset)


@pytest.fixture
def job(ledger: Ledger, specification: Top9Specification) -> int:
    return ledger.submit(specification)[0]


@pytest.fixture
def at_once(ledger: Ledger) -> Iterator[Rivals]:
    rivals = Rivals(ledger)
    yield rivals
    for own in rivals.ledgers:
        own.database.close()


@pytest.fixture
def old(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, database_url: str
) -> Iterator[Database]:
    """A database of schema 0005 with jobs of all kinds and states, upgraded.

    Job 1 is a training run; 2 (top9), 3 (occlusion) and 4 (an extension) use it. 7, a search that runs, uses 4.
    """
    kind = "sqlite" if database_url.startswith("sqlite") else "postgresql"
    url = fresh_database(kind, request, tmp_path_factory.mktemp("old"))
    load("0005", kind, url)
    database = Database(url)
    upgrade(database)
    yield database
    database.close()
