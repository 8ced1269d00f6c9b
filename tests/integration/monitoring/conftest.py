"""Fixture: a ledger on each database."""

from __future__ import annotations

import pytest

from shared.database.connection import Database
from shared.database.datasets import Dataset
from shared.jobs.ledger import Ledger
from tests.integration.ledger.helpers import SHA256


@pytest.fixture
def ledger(database: Database) -> Ledger:
    with database.write() as session:
        session.add(
            Dataset(id=1, name="voc", kind="voc", root="/", options={}, fingerprint=SHA256, class_names=[])
        )
    return Ledger(database, lease_seconds=30)
