"""Sending of messages: every due shard is sent once, and again if its message was lost."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import select

from producer.service.private_redis import private_redis
from shared.database.connection import Database
from shared.errors import BrokerUnreachable
from shared.jobs.broker import Broker, broker_for, dispatch, sweep
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Shard, ShardState
from shared.settings import Settings
from tests.integration.broker.helpers import waiting
from tests.integration.ledger.helpers import claimed, die, finish_stage, queued, shards_of, top9

NOW = -1.0  # resend_seconds: all messages count as old


def unsent(ledger: Ledger) -> list[int]:
    with ledger.database.read() as session:
        due = select(Shard.id).where(Shard.state == ShardState.QUEUED, Shard.sent_at.is_(None))
        return list(session.scalars(due.order_by(Shard.id)))


# --- dispatch ---


def test_dispatch_sends_every_queued_shard_once_and_marks_it(ledger: Ledger, dataset: int, broker: Broker) -> None:
    job, _ = ledger.submit(top9(dataset, search=3))
    assert dispatch(ledger, broker) == 3
    assert waiting(broker, "analysis") == queued(ledger, job)
    assert broker.depth("analysis") == 3
    assert broker.depth("cpu") == 0
    assert unsent(ledger) == []
    assert dispatch(ledger, broker) == 0
    assert broker.depth("analysis") == 3


def test_each_stage_goes_to_its_queue(ledger: Ledger, dataset: int, broker: Broker) -> None:
    job, _ = ledger.submit(top9(dataset))
    for queue, count in (("analysis", 2), ("cpu", 1), ("analysis", 2), ("cpu", 1)):
        assert dispatch(ledger, broker) == count
        assert waiting(broker, queue) == queued(ledger, job)
        broker.redis.flushall()
        finish_stage(ledger, job)
    assert dispatch(ledger, broker) == 0


def test_dispatch_sends_more_shards_than_fit_in_one_batch(ledger: Ledger, dataset: int, broker: Broker) -> None:
    job, _ = ledger.submit(top9(dataset, search=1100))
    assert dispatch(ledger, broker) == 1100
    assert waiting(broker, "analysis") == queued(ledger, job)


def test_concurrent_dispatches_send_every_shard_once(ledger: Ledger, dataset: int, broker: Broker) -> None:
    job, _ = ledger.submit(top9(dataset, search=50))
    url = ledger.database.url.render_as_string(hide_password=False)
    barrier = threading.Barrier(3)

    def run() -> None:
        own = Database(url)
        barrier.wait()
        dispatch(Ledger(own), Broker(broker.url))
        own.close()

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(waiting(broker, "analysis")) == queued(ledger, job)


def test_messages_that_could_not_be_sent_are_sent_later(
    ledger: Ledger, dataset: int, home_settings: Settings, away: Broker
) -> None:
    job, _ = ledger.submit(top9(dataset))
    for unreachable in (away, Broker("redis://:secret@127.0.0.1:1/0")):
        with pytest.raises(BrokerUnreachable) as raised:
            dispatch(ledger, unreachable)
        assert raised.value.exit_code == 3
        assert "secret" not in str(raised.value)
        assert unsent(ledger) == queued(ledger, job)
    with private_redis(home_settings):
        assert dispatch(ledger, broker_for(home_settings)) == 2
        assert waiting(broker_for(home_settings), "analysis") == queued(ledger, job)


def test_a_broken_connection_is_reopened(ledger: Ledger, dataset: int, home_settings: Settings) -> None:
    """The same broker object is used before and after an outage."""
    broker = broker_for(home_settings)
    with private_redis(home_settings):
        ledger.submit(top9(dataset, seed=1))
        assert dispatch(ledger, broker) == 2
    job, _ = ledger.submit(top9(dataset, seed=2))
    with pytest.raises(BrokerUnreachable):
        dispatch(ledger, broker)
    assert unsent(ledger) == queued(ledger, job)
    with private_redis(home_settings):
        assert dispatch(ledger, broker) == 2
        assert waiting(broker, "analysis") == queued(ledger, job)


def test_a_server_that_refuses_writes_is_reported_as_unreachable(
    ledger: Ledger, dataset: int, broker: Broker
) -> None:
    job, _ = ledger.submit(top9(dataset))
    broker.redis.config_set("maxmemory", "1")
    with pytest.raises(BrokerUnreachable):
        dispatch(ledger, broker)
    assert unsent(ledger) == queued(ledger, job)
    broker.redis.config_set("maxmemory", "0")
    assert dispatch(ledger, broker) == 2


def test_a_queue_key_that_is_not_a_list_is_reported_as_unreachable(broker: Broker) -> None:
    broker.redis.set("analysis", "somebody else's key")
    with pytest.raises(BrokerUnreachable):
        broker.depth("analysis")


def test_the_database_number_in_the_url_applies_to_sending_and_reading(broker: Broker) -> None:
    other = Broker(f"{broker.url}&db=2")
    other.send([(1, "analysis")])
    assert other.depth("analysis") == 1
    assert broker.depth("analysis") == 0


# --- sweep ---


def test_sweep_resends_messages_lost_with_the_queue(ledger: Ledger, dataset: int, broker: Broker) -> None:
    job, _ = ledger.submit(top9(dataset, search=3))
    dispatch(ledger, broker)
    claimed(ledger, queued(ledger, job)[0])
    broker.redis.flushall()
    sweep(ledger, broker, NOW)
    assert waiting(broker, "analysis") == queued(ledger, job)
    assert len(queued(ledger, job)) == 2


def test_sweep_does_not_resend_while_messages_are_queued(ledger: Ledger, dataset: int, broker: Broker) -> None:
    job, _ = ledger.submit(top9(dataset, search=3))
    dispatch(ledger, broker)
    for _ in range(3):
        sweep(ledger, broker, NOW)
    assert waiting(broker, "analysis") == queued(ledger, job)
    broker.redis.rpop("analysis")
    sweep(ledger, broker, NOW)
    assert broker.depth("analysis") == 2


def test_sweep_waits_before_it_resends(ledger: Ledger, dataset: int, broker: Broker) -> None:
    ledger.submit(top9(dataset))
    dispatch(ledger, broker)
    broker.redis.flushall()
    sweep(ledger, broker, 3600.0)
    assert broker.depth("analysis") == 0


def test_sweep_sends_the_shards_of_silent_workers(ledger: Ledger, dataset: int, broker: Broker) -> None:
    job, _ = ledger.submit(top9(dataset))
    dispatch(ledger, broker)
    broker.redis.flushall()
    first, second = queued(ledger, job)
    die(ledger, first)
    claimed(ledger, second)
    sweep(ledger, broker, 3600.0)
    assert waiting(broker, "analysis") == [first]
    assert [shard.state for shard in shards_of(ledger, job)][:2] == ["queued", "running"]


def test_sweep_sends_shards_without_a_message(ledger: Ledger, dataset: int, broker: Broker) -> None:
    """The program that submitted the job exited before it sent any messages."""
    job, _ = ledger.submit(top9(dataset))
    sweep(ledger, broker, 3600.0)
    assert waiting(broker, "analysis") == queued(ledger, job)


def test_sweep_sends_no_shards_of_ended_jobs(ledger: Ledger, dataset: int, broker: Broker) -> None:
    cancelled, _ = ledger.submit(top9(dataset, seed=1))
    ledger.cancel(cancelled)
    failed, _ = ledger.submit(top9(dataset, search=4, seed=2))
    ids = queued(ledger, failed)
    for shard_id in ids:
        die(ledger, shard_id, times=3 if shard_id == ids[1] else 1)
    for _ in range(3):
        sweep(ledger, broker, NOW)
        assert [broker.depth(queue) for queue in ("training", "analysis", "cpu")] == [0, 0, 0]


def test_sweep_revokes_expired_leases_without_redis(ledger: Ledger, dataset: int, away: Broker) -> None:
    job, _ = ledger.submit(top9(dataset))
    die(ledger, queued(ledger, job)[0])
    with pytest.raises(BrokerUnreachable):
        sweep(ledger, away, NOW)
    assert shards_of(ledger, job)[0].state == "queued"
