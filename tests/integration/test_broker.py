"""Sending shards and looking after what was sent, with a real Redis of our own."""

from __future__ import annotations

import base64
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from sqlalchemy import select

from producer.private_redis import private_redis
from shared.broker import SOCKET_PATH_LIMIT, TASK, Broker, broker_for, dispatch, private_socket, sweep
from shared.database import Database
from shared.errors import BrokerOutOfReach, NoRedisServer
from shared.ledger import Ledger
from shared.models import Shard, ShardState
from shared.settings import Settings
from tests.integration.test_ledger import claimed, dataset, die, finish_stage, ledger, queued, shards_of, top9

__all__ = ["dataset", "ledger"]  # fixtures

NOW = -1.0  # resend_seconds: whatever was sent is old


@pytest.fixture
def home_settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def broker(home_settings: Settings) -> Iterator[Broker]:
    """A Redis server that runs."""
    with private_redis(home_settings):
        yield broker_for(home_settings)


@pytest.fixture
def away(tmp_path: Path) -> Broker:
    """A Redis server that doesn't."""
    return broker_for(Settings(home=tmp_path / "nobody"))


def waiting(broker: Broker, queue: str) -> list[int]:
    """The shard ids of the messages in a queue, first come first."""
    bodies = []
    for message in broker.redis.lrange(queue, 0, -1):
        envelope = json.loads(message)
        assert envelope["headers"]["task"] == TASK
        arguments, *_ = json.loads(base64.b64decode(envelope["body"]))
        bodies += arguments
    return bodies[::-1]


def unsent(ledger: Ledger) -> list[int]:
    with ledger.database.read() as session:
        due = select(Shard.id).where(Shard.state == ShardState.QUEUED, Shard.sent_at.is_(None))
        return list(session.scalars(due.order_by(Shard.id)))


def server_process(broker: Broker) -> psutil.Process:
    return psutil.Process(broker.redis.info("server")["process_id"])


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


def test_more_shards_than_are_sent_at_once(ledger: Ledger, dataset: int, broker: Broker) -> None:
    job, _ = ledger.submit(top9(dataset, search=1100))
    assert dispatch(ledger, broker) == 1100
    assert waiting(broker, "analysis") == queued(ledger, job)


def test_two_that_dispatch_at_once_send_every_shard_once(ledger: Ledger, dataset: int, broker: Broker) -> None:
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


def test_what_could_not_be_sent_is_sent_later(
    ledger: Ledger, dataset: int, home_settings: Settings, away: Broker
) -> None:
    job, _ = ledger.submit(top9(dataset))
    for out_of_reach in (away, Broker("redis://:secret@127.0.0.1:1/0")):
        with pytest.raises(BrokerOutOfReach) as raised:
            dispatch(ledger, out_of_reach)
        assert raised.value.exit_code == 3
        assert "secret" not in str(raised.value)
        assert unsent(ledger) == queued(ledger, job)
    with private_redis(home_settings):
        assert dispatch(ledger, broker_for(home_settings)) == 2
        assert waiting(broker_for(home_settings), "analysis") == queued(ledger, job)


def test_a_connection_that_broke_is_made_anew(ledger: Ledger, dataset: int, home_settings: Settings) -> None:
    """One broker object, over an outage between two dispatches."""
    broker = broker_for(home_settings)
    with private_redis(home_settings):
        ledger.submit(top9(dataset, seed=1))
        assert dispatch(ledger, broker) == 2
    job, _ = ledger.submit(top9(dataset, seed=2))
    with pytest.raises(BrokerOutOfReach):
        dispatch(ledger, broker)
    assert unsent(ledger) == queued(ledger, job)
    with private_redis(home_settings):
        assert dispatch(ledger, broker) == 2
        assert waiting(broker, "analysis") == queued(ledger, job)


def test_a_server_that_refuses_writes_is_out_of_reach(ledger: Ledger, dataset: int, broker: Broker) -> None:
    job, _ = ledger.submit(top9(dataset))
    broker.redis.config_set("maxmemory", "1")
    with pytest.raises(BrokerOutOfReach):
        dispatch(ledger, broker)
    assert unsent(ledger) == queued(ledger, job)
    broker.redis.config_set("maxmemory", "0")
    assert dispatch(ledger, broker) == 2


def test_a_queue_name_that_is_no_list_is_out_of_reach(broker: Broker) -> None:
    broker.redis.set("analysis", "somebody else's key")
    with pytest.raises(BrokerOutOfReach):
        broker.depth("analysis")


# --- sweep ---


def test_sweep_sends_again_what_was_lost_with_the_queue(ledger: Ledger, dataset: int, broker: Broker) -> None:
    job, _ = ledger.submit(top9(dataset, search=3))
    dispatch(ledger, broker)
    claimed(ledger, queued(ledger, job)[0])
    broker.redis.flushall()
    sweep(ledger, broker, NOW)
    assert waiting(broker, "analysis") == queued(ledger, job)
    assert len(queued(ledger, job)) == 2


def test_sweep_does_not_send_again_while_messages_wait(ledger: Ledger, dataset: int, broker: Broker) -> None:
    job, _ = ledger.submit(top9(dataset, search=3))
    dispatch(ledger, broker)
    for _ in range(3):
        sweep(ledger, broker, NOW)
    assert waiting(broker, "analysis") == queued(ledger, job)
    broker.redis.rpop("analysis")
    sweep(ledger, broker, NOW)
    assert broker.depth("analysis") == 2


def test_sweep_waits_a_while_before_it_sends_again(ledger: Ledger, dataset: int, broker: Broker) -> None:
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


def test_sweep_sends_what_nobody_sent(ledger: Ledger, dataset: int, broker: Broker) -> None:
    """The program that submitted the job died before it sent anything."""
    job, _ = ledger.submit(top9(dataset))
    sweep(ledger, broker, 3600.0)
    assert waiting(broker, "analysis") == queued(ledger, job)


def test_sweep_sends_nothing_of_jobs_that_are_over(ledger: Ledger, dataset: int, broker: Broker) -> None:
    cancelled, _ = ledger.submit(top9(dataset, seed=1))
    ledger.cancel(cancelled)
    failed, _ = ledger.submit(top9(dataset, search=4, seed=2))
    ids = queued(ledger, failed)
    for shard_id in ids:
        die(ledger, shard_id, times=3 if shard_id == ids[1] else 1)
    for _ in range(3):
        sweep(ledger, broker, NOW)
        assert [broker.depth(queue) for queue in ("training", "analysis", "cpu")] == [0, 0, 0]


def test_without_redis_sweep_still_takes_back_expired_leases(ledger: Ledger, dataset: int, away: Broker) -> None:
    job, _ = ledger.submit(top9(dataset))
    die(ledger, queued(ledger, job)[0])
    with pytest.raises(BrokerOutOfReach):
        sweep(ledger, away, NOW)
    assert shards_of(ledger, job)[0].state == "queued"


# --- the private server ---


def test_answers_and_ping_tell_whether_redis_is_there(broker: Broker, away: Broker) -> None:
    assert broker.answers()
    assert not away.answers()
    with pytest.raises(BrokerOutOfReach):
        away.ping()
    with pytest.raises(BrokerOutOfReach):
        away.depth("cpu")


def test_a_second_user_shares_the_server_and_leaves_it_running(home_settings: Settings) -> None:
    broker = broker_for(home_settings)
    with private_redis(home_settings) as started:
        assert started
        pid = server_process(broker).pid
        with private_redis(home_settings) as started_again:
            assert not started_again
            assert server_process(broker).pid == pid
        assert broker.answers()
    assert not broker.answers()
    assert not psutil.pid_exists(pid)


def test_of_several_that_start_at_once_one_starts_the_server(home_settings: Settings) -> None:
    barrier, end = threading.Barrier(4), threading.Event()
    started: list[bool] = []

    def run() -> None:
        barrier.wait()
        with private_redis(home_settings) as mine:
            started.append(mine)
            end.wait()

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    barrier.wait()
    while len(started) < 3 and all(thread.is_alive() for thread in threads):
        threads[0].join(0.05)
    end.set()
    for thread in threads:
        thread.join()
    assert sorted(started) == [False, False, True]
    assert not broker_for(home_settings).answers()


def test_the_server_is_stopped_after_an_error_too(home_settings: Settings) -> None:
    with pytest.raises(RuntimeError), private_redis(home_settings):
        raise RuntimeError
    assert not broker_for(home_settings).answers()


def test_a_server_that_was_killed_is_started_again(home_settings: Settings) -> None:
    """Its socket file is still there."""
    with private_redis(home_settings):
        process = server_process(broker_for(home_settings))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert private_socket(home_settings.home).exists()
    with private_redis(home_settings) as started:
        assert started
        assert broker_for(home_settings).answers()


def test_a_server_whose_starter_was_killed_is_stopped_by_the_next_one(home_settings: Settings) -> None:
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from producer.private_redis import private_redis\n"
        "from shared.settings import Settings\n"
        "with private_redis(Settings(home=Path(sys.argv[1]))):\n"
        "    print('up', flush=True)\n"
        "    time.sleep(1000)\n"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", program, str(home_settings.home)], stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout
    assert starter.stdout.readline() == "up\n"
    server = server_process(broker_for(home_settings))
    starter.kill()
    starter.wait()
    starter.stdout.close()
    try:
        with private_redis(home_settings):
            assert broker_for(home_settings).answers()
        assert not broker_for(home_settings).answers()
    finally:
        with suppress(psutil.NoSuchProcess):
            server.kill()


def test_the_server_listens_on_no_network(broker: Broker) -> None:
    process = server_process(broker)
    assert process.net_connections(kind="inet") == []
    listening = process.net_connections(kind="unix")
    assert private_socket(Path(broker.url.removeprefix("unix://")).parents[1]).name in {
        Path(connection.laddr).name for connection in listening
    }
    assert broker.redis.config_get("port") == {"port": "0"}


def test_only_the_owner_can_reach_the_socket(broker: Broker, home_settings: Settings) -> None:
    socket = private_socket(home_settings.home)
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(socket.stat().st_mode) & 0o077 == 0


def test_rights_of_a_folder_that_was_there_before_are_mended(home_settings: Settings) -> None:
    folder = private_socket(home_settings.home).parent
    folder.mkdir(parents=True, mode=0o777)
    folder.chmod(0o777)
    with private_redis(home_settings):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_nothing_is_written_to_disk(broker: Broker, home_settings: Settings, ledger: Ledger, dataset: int) -> None:
    ledger.submit(top9(dataset))
    dispatch(ledger, broker)
    assert broker.redis.config_get("save") == {"save": ""}
    broker.redis.shutdown()
    names = {path.name for path in private_socket(home_settings.home).parent.iterdir()}
    assert not {name for name in names if name.endswith((".rdb", ".aof"))}
    assert "appendonlydir" not in names


@pytest.mark.parametrize(
    "name",
    ["long " * 40, "wide ünïcödé ✓", "100%20 and #1?", 'a "quoted" one', "a\\nb", "it's"],
    ids=["long", "not ascii", "not for a url", "double quotes", "backslash", "single quote"],
)
def test_any_home_will_do(tmp_path: Path, name: str) -> None:
    settings = Settings(home=tmp_path / name.strip())
    assert len(os.fsencode(private_socket(settings.home))) <= SOCKET_PATH_LIMIT
    with private_redis(settings):
        broker = broker_for(settings)
        broker.send([(1, "analysis"), (2, "analysis")])
        assert waiting(broker, "analysis") == [1, 2]
    assert not broker.answers()


def test_long_homes_have_sockets_of_their_own(tmp_path: Path) -> None:
    first, second = (Settings(home=tmp_path / ("long" * 40) / name) for name in ("a", "b"))
    assert private_socket(first.home) != private_socket(second.home)
    with private_redis(first):
        assert broker_for(first).answers()
        assert not broker_for(second).answers()


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    socket = private_socket(settings.home)
    (socket / "in the way").mkdir(parents=True)
    with pytest.raises(NoRedisServer, match="did not start"), private_redis(settings):
        pass


def test_without_a_server_program_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home_settings: Settings
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(NoRedisServer, match="neither on the PATH"), private_redis(home_settings):
        pass


def test_a_database_number_in_the_url_is_the_same_for_sending_and_looking(broker: Broker) -> None:
    other = Broker(f"{broker.url}?db=2")
    other.send([(1, "analysis")])
    assert other.depth("analysis") == 1
    assert broker.depth("analysis") == 0
