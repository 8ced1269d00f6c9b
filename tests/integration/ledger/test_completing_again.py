"""Completing a shard while the database is unreachable."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from shared.errors import DatabaseUnreachable
from shared.jobs.ledger import LeaseLost, Ledger
from shared.jobs.tables import Event, Shard, ShardState
from shared.store.store import Store
from tests.conftest import fresh_database
from worker.runner import ShardContext


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Only PostgreSQL, whose connections can be terminated; a locked SQLite file is waited for."""
    return fresh_database("postgresql", request, tmp_path, request.getfixturevalue("postgresql_template"))


class Cut:
    """Writes a row and terminates its own connection, the first ``times`` times."""

    def __init__(self, server: str, job: int, times: int) -> None:
        self.server, self.job, self.left = server, job, times

    def __call__(self, session: Session) -> None:
        session.add(Event(job_id=self.job, level="info", message="a result"))
        session.flush()
        if self.left:
            self.left -= 1
            pid = session.scalar(text("SELECT pg_backend_pid()"))
            with psycopg.connect(self.server, autocommit=True) as connection:
                connection.execute("SELECT pg_terminate_backend(%s)", [pid])


def context_of(ledger: Ledger, folder: Path) -> ShardContext:
    ((shard, _), *_) = ledger.take_unsent()
    claim = ledger.claim(shard, "worker")
    assert claim
    return ShardContext(claim, ledger, Store(folder), "cpu")


def state_of(ledger: Ledger, shard: int) -> tuple[str, int]:
    with ledger.database.read() as session:
        row = session.get_one(Shard, shard)
        return row.state, row.attempt


def results(ledger: Ledger) -> int:
    with ledger.database.read() as session:
        return session.query(Event).filter(Event.message == "a result").count()


def test_results_are_written_when_the_database_is_reachable_again(
    ledger: Ledger, job: int, postgresql_server: str, tmp_path: Path
) -> None:
    context = context_of(ledger, tmp_path)
    context.complete(Cut(postgresql_server, job, times=2))
    assert state_of(ledger, context.claim.shard_id) == (ShardState.DONE, 1)
    assert results(ledger) == 1


def test_completing_is_retried_for_one_lease(
    ledger: Ledger, job: int, postgresql_server: str, tmp_path: Path
) -> None:
    context = context_of(ledger, tmp_path)
    ledger.lease_seconds = 1.5
    with pytest.raises(DatabaseUnreachable):
        context.complete(Cut(postgresql_server, job, times=100))
    assert results(ledger) == 0


def test_nothing_is_written_after_the_lease_is_lost(
    ledger: Ledger, job: int, postgresql_server: str, tmp_path: Path
) -> None:
    context = context_of(ledger, tmp_path)
    cut = Cut(postgresql_server, job, times=1)

    def cut_for_long(session: Session) -> None:
        cut(session)
        context.lease_lost.set()  # as the heartbeat does

    with pytest.raises(LeaseLost):
        context.complete(cut_for_long)
    assert state_of(ledger, context.claim.shard_id)[0] == ShardState.RUNNING
    assert results(ledger) == 0
