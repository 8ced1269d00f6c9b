"""Exact expiry of leases, messages and workers, on a clock that the test controls."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import insert

from shared.database.connection import Database
from shared.database.datasets import Dataset
from shared.database.schema import upgrade
from shared.jobs.hosts import WORKER_ALIVE_SECONDS
from shared.jobs.ledger import Ledger
from tests.integration.ledger.helpers import SHA256, claimed, queued, states, top9
from tests.integration.ledger.virtual_clock import VirtualClock, virtual_clock

LEASE = 30.0


@pytest.fixture
def clock(database_url: str) -> Iterator[VirtualClock]:
    made = Database(database_url)
    upgrade(made)
    made.close()
    with virtual_clock(database_url) as (database, clock):
        voc = {"name": "voc", "kind": "voc", "root": "/", "options": {}, "fingerprint": SHA256, "class_names": []}
        with database.write() as session:
            session.execute(insert(Dataset), [{"id": 1, **voc}])
        yield clock


@pytest.fixture
def ledger(clock: VirtualClock) -> Ledger:
    return Ledger(clock.database, LEASE)


def test_a_lease_is_valid_until_exactly_its_end(ledger: Ledger, clock: VirtualClock) -> None:
    job, _ = ledger.submit(top9(1))
    first, second = queued(ledger, job)
    claimed(ledger, first)
    claimed(ledger, second)
    clock.advance(LEASE)
    assert ledger.claim(first, "another") is None
    assert ledger.sweep() == 0
    assert states(ledger, job)[:2] == ["running", "running"]
    clock.advance(1)
    assert claimed(ledger, first, "another").attempt == 2
    assert ledger.sweep() == 1
    assert states(ledger, job)[:2] == ["running", "queued"]


@pytest.mark.parametrize("call", ["heartbeat", "record"])
def test_each_heartbeat_extends_the_lease_from_its_own_time(
    ledger: Ledger, clock: VirtualClock, call: str
) -> None:
    """Early heartbeats do not add up."""
    job, _ = ledger.submit(top9(1, search=1))
    claim = claimed(ledger, queued(ledger, job)[0])
    for _ in range(3):
        clock.advance(LEASE / 2)
        if call == "heartbeat":
            ledger.heartbeat(claim, 1)
        else:
            ledger.record(claim, lambda session: None)
    clock.advance(LEASE)
    assert ledger.sweep() == 0
    clock.advance(1)
    assert ledger.sweep() == 1


def test_a_message_counts_as_lost_after_the_given_time(ledger: Ledger, clock: VirtualClock) -> None:
    job, _ = ledger.submit(top9(1, search=3))
    first, second, third = queued(ledger, job)
    for shard_id in (first, second, third):
        assert ledger.take_unsent(1) == [(shard_id, "analysis")]
        clock.advance(5)
    assert ledger.mark_lost(["analysis"], 15) == 0
    assert ledger.mark_lost(["analysis"], 5) == 2
    assert ledger.take_unsent() == [(first, "analysis"), (second, "analysis")]


def test_a_worker_counts_as_alive_for_a_time_after_it_was_seen(ledger: Ledger, clock: VirtualClock) -> None:
    ledger.worker_seen("cpu", "cpu", ["cpu"], 7)
    clock.advance(WORKER_ALIVE_SECONDS - 1)
    assert [worker.name for worker in ledger.live_workers()] == ["cpu"]
    ledger.worker_seen("cpu", "cpu", ["cpu"], 7)
    clock.advance(WORKER_ALIVE_SECONDS - 1)
    assert [worker.name for worker in ledger.live_workers()] == ["cpu"]
    clock.advance(1)
    assert ledger.live_workers() == []
