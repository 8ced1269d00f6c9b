"""Shards whose messages are due, for the first time or again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, event, select, text, update

from shared.jobs.ledger import Ledger
from shared.jobs.tables import Job, Shard
from shared.kinds.specification import CPU
from tests.integration.ledger.helpers import FEW, Rivals, claimed, finish_stage, queued, shards_of, states, top9


def test_take_unsent_returns_every_shard_once(ledger: Ledger, job: int) -> None:
    first, second = queued(ledger, job)
    assert ledger.take_unsent() == [(first, "analysis"), (second, "analysis")]
    assert ledger.take_unsent() == []
    finish_stage(ledger, job)
    select_shard = queued(ledger, job)
    assert ledger.take_unsent() == [(select_shard[0], CPU)]


def test_take_unsent_respects_its_limit(ledger: Ledger, dataset: int) -> None:
    job, _ = ledger.submit(top9(dataset, search=7))
    ids = queued(ledger, job)
    batches = [[shard_id for shard_id, _ in ledger.take_unsent(limit=3)] for _ in range(4)]
    assert batches == [ids[:3], ids[3:6], ids[6:], []]


def test_take_unsent_respects_its_limit_with_any_plan(ledger: Ledger, dataset: int) -> None:
    """PostgreSQL may choose a plan that runs the subquery of a statement for each row of the table."""
    plans = ("hashjoin", "mergejoin", "hashagg", "sort", "material", "indexscan", "bitmapscan")
    if not ledger.database.is_sqlite:

        def only_nested_loops(connection: Connection) -> None:
            for plan in plans:
                connection.execute(text(f"SET LOCAL enable_{plan} = off"))

        event.listen(ledger.database.engine, "begin", only_nested_loops)
    test_take_unsent_respects_its_limit(ledger, dataset)


def test_concurrent_senders_get_every_shard_once(ledger: Ledger, dataset: int, at_once: Rivals) -> None:
    for seed in range(FEW):
        job, _ = ledger.submit(top9(dataset, search=40, seed=seed))

        def take(own: Ledger) -> list[int]:
            taken: list[int] = []
            while batch := own.take_unsent(limit=3):
                taken += [shard_id for shard_id, _ in batch]
            return taken

        outcomes = at_once(*[take] * 3)
        taken = [shard_id for outcome in outcomes for shard_id in outcome]
        assert sorted(taken) == queued(ledger, job)


def test_mark_unsent_makes_a_message_due_for_what_is_still_queued(ledger: Ledger, job: int) -> None:
    first, second = (shard_id for shard_id, _ in ledger.take_unsent())
    claimed(ledger, first)
    ledger.mark_unsent([first, second])
    assert [shard.sent_at is None for shard in shards_of(ledger, job)[:2]] == [False, True]
    assert ledger.take_unsent() == [(second, "analysis")]
    ledger.mark_unsent([])
    assert ledger.take_unsent() == []


def test_mark_lost_is_for_old_messages_of_an_empty_queue_only(ledger: Ledger, dataset: int) -> None:
    job, _ = ledger.submit(top9(dataset, search=3))
    claimed_one, old, _ = (shard_id for shard_id, _ in ledger.take_unsent())
    claimed(ledger, claimed_one)
    assert ledger.mark_lost(["analysis"], 1000.0) == 0
    with ledger.database.write() as session:
        session.execute(update(Shard).where(Shard.id.in_([claimed_one, old])).values(sent_at=1.0))
    assert ledger.mark_lost(["cpu"], 1000.0) == 0
    assert ledger.mark_lost(["cpu", "analysis"], 1000.0) == 1
    assert ledger.take_unsent() == [(old, "analysis")]
    assert ledger.mark_lost(["analysis"], 1000.0) == 0
    assert states(ledger, job)[:3] == ["running", "queued", "queued"]


@pytest.mark.parametrize(
    "look_after",
    [
        lambda own, ids: own.mark_lost(["analysis"], -1.0),
        lambda own, ids: own.mark_unsent(ids),
        lambda own, ids: own.take_unsent(),
        lambda own, ids: own.sweep(),
    ],
    ids=["mark_lost", "mark_unsent", "take_unsent", "sweep"],
)
def test_the_sweeper_does_not_deadlock_with_a_change_of_the_job(
    ledger: Ledger, dataset: int, at_once: Rivals, look_after: Callable[[Ledger, list[int]], Any]
) -> None:
    """Cancel, retry and the end of a job change many shards in one transaction, in an undefined order. Here
    another process accesses the same shards in another order before the transaction ends."""
    job, _ = ledger.submit(top9(dataset, search=4))
    ids = queued(ledger, job)
    if look_after.__code__.co_names[0] != "take_unsent":
        ledger.take_unsent()
    failures: list[Exception] = []

    def run() -> None:
        try:
            look_after(at_once.ledgers[0], ids)
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    with ledger.database.write() as session:
        session.execute(select(Job).where(Job.id == job).with_for_update(key_share=True))
        session.execute(update(Shard).where(Shard.id == ids[-1]).values(state="cancelled"))
        thread.start()
        thread.join(0.5)  # it has finished, or waits for this transaction
        session.execute(update(Shard).where(Shard.id == ids[0]).values(state="cancelled"))
    thread.join()
    assert failures == []
    assert states(ledger, job)[:4] == ["cancelled", "queued", "queued", "cancelled"]
