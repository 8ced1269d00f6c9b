"""The private Redis requires a password, which is stored only in files readable by their owner."""

from __future__ import annotations

import stat
from pathlib import Path

import psutil
import pytest
import redis

from producer.service.private_redis import private_redis
from shared.errors import BrokerUnreachable
from shared.jobs.broker import broker_for, private_password, private_socket
from shared.settings import Settings
from tests.conftest import Analyze


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def password_of(settings: Settings) -> str:
    return private_password(private_socket(settings.home)).read_text()


def test_connections_without_the_password_are_refused(settings: Settings) -> None:
    with private_redis(settings):
        for given in (None, "", "wrong"):
            client = redis.Redis(unix_socket_path=str(private_socket(settings.home)), password=given)
            with pytest.raises((redis.AuthenticationError, redis.ResponseError)):
                client.ping()
            client.close()
        broker_for(settings).ping()


def test_only_two_private_files_contain_the_password(settings: Settings) -> None:
    with private_redis(settings):
        password = password_of(settings)
        assert len(password) >= 32
        broker = broker_for(settings)
        broker.send([(1, "analysis")])
        server = psutil.Process(broker.redis.info("server")["process_id"])
        for words in (
            server.cmdline(),
            server.environ(),
            broker.url,
            repr(broker.celery.connection_for_write().info()),
        ):
            assert password not in str(words)
    files = [file for file in settings.home.rglob("*") if file.is_file()]
    holding = {file.name for file in files if password.encode() in file.read_bytes()}
    assert holding == {"redis.password", "redis.conf"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files if file.name in holding} == {0o600}


def test_files_that_others_could_read_are_replaced(settings: Settings) -> None:
    folder = private_socket(settings.home).parent
    folder.mkdir(parents=True)
    held = []
    for name in ("redis.password", "redis.conf"):
        (folder / name).touch()
        (folder / name).chmod(0o666)
        held.append((folder / name).open())  # a process that has it open must not see the new content
    with private_redis(settings):
        for file in held:
            assert file.read() == ""
            file.close()
            assert stat.S_IMODE(Path(file.name).stat().st_mode) == 0o600


def test_each_start_generates_a_new_password_and_clients_follow(settings: Settings) -> None:
    broker = broker_for(settings)  # created before there is a password
    with pytest.raises(BrokerUnreachable):
        broker.ping()
    seen = set()
    for _ in range(2):
        with private_redis(settings):
            seen.add(password_of(settings))
            broker.ping()
            broker.send([(1, "analysis")])  # Celery's own connection
            assert broker.depth("analysis") == 1
    assert len(seen) == 2


def test_a_restarted_server_keeps_its_password(settings: Settings) -> None:
    broker, analyze = broker_for(settings), Analyze(settings.home)
    with private_redis(settings):
        password = password_of(settings)
        first = psutil.Process(broker.redis.info("server")["process_id"])
        first.kill()
        first.wait()
        analyze.wait(broker.answers, seconds=30)
        assert password_of(settings) == password


def test_a_missing_password_file_is_reported(settings: Settings) -> None:
    with private_redis(settings):
        private_password(private_socket(settings.home)).unlink()
        with pytest.raises(BrokerUnreachable, match=r"can't be read from .*redis\.password"):
            broker_for(settings).ping()


def test_a_second_worker_reconnects_to_a_new_server(
    analyze: Analyze, shapes_root: Path, network_options: list[str]
) -> None:
    """It is the only worker that consumes the job's queues."""
    first = analyze.up("--queues", "training")
    analyze.start("worker", "--devices", "cpu", "--queues", "analysis,cpu")
    analyze.wait(lambda: analyze.log().count(" ready.") == 2)
    before = password_of(Settings(home=analyze.home))
    first.terminate()
    first.wait(60)
    analyze.start("up", "--devices", "cpu", "--queues", "training")
    analyze.wait(lambda: broker_for(Settings(home=analyze.home)).answers())
    assert password_of(Settings(home=analyze.home)) != before
    analyze("dataset", "add", "shapes", "--root", shapes_root)
    analyze("submit", "--layer", "5", "--units", "0-1", "--dataset", "shapes", *network_options, "--wait")
