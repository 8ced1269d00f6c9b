"""The private Redis server: start, stop, ownership, and access."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from producer.service.private_redis import private_redis
from shared.errors import BrokerUnreachable, NoRedisServer
from shared.jobs.broker import SOCKET_PATH_LIMIT, Broker, broker_for, dispatch, private_socket
from shared.jobs.ledger import Ledger
from shared.settings import Settings
from tests.integration.broker.helpers import waiting
from tests.integration.ledger.helpers import top9


def server_process(broker: Broker) -> psutil.Process:
    return psutil.Process(broker.redis.info("server")["process_id"])


def test_answers_and_ping_tell_whether_redis_is_reachable(broker: Broker, away: Broker) -> None:
    assert broker.answers()
    assert not away.answers()
    with pytest.raises(BrokerUnreachable):
        away.ping()
    with pytest.raises(BrokerUnreachable):
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


def test_a_second_user_takes_over_when_the_first_one_ends(home_settings: Settings) -> None:
    broker = broker_for(home_settings)
    with ExitStack() as first, ExitStack() as second:
        assert first.enter_context(private_redis(home_settings))
        assert not second.enter_context(private_redis(home_settings))
        pid = server_process(broker).pid
        first.close()
        assert not psutil.pid_exists(pid)
        deadline = time.monotonic() + 20
        while not broker.answers():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with private_redis(home_settings) as started:
            assert not started  # the second user owns it now
    assert not broker.answers()


def test_of_several_concurrent_users_one_starts_the_server(home_settings: Settings) -> None:
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


def test_the_server_is_stopped_after_an_error(home_settings: Settings) -> None:
    with pytest.raises(RuntimeError), private_redis(home_settings):
        raise RuntimeError
    assert not broker_for(home_settings).answers()


def test_a_killed_server_is_restarted(home_settings: Settings) -> None:
    """The killed server has left its socket file."""
    with private_redis(home_settings):
        process = server_process(broker_for(home_settings))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert private_socket(home_settings.home).exists()
    with private_redis(home_settings) as started:
        assert started
        assert broker_for(home_settings).answers()


def test_a_server_that_dies_during_use_is_restarted(home_settings: Settings) -> None:
    broker = broker_for(home_settings)
    with private_redis(home_settings):
        first = server_process(broker)
        first.kill()
        first.wait()
        deadline = time.monotonic() + 20
        while not broker.answers():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert server_process(broker).pid != first.pid
    assert not broker.answers()


def test_a_folder_that_is_a_symbolic_link_is_refused(home_settings: Settings, tmp_path: Path) -> None:
    folder = private_socket(home_settings.home).parent
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.symlink_to(tmp_path)
    with pytest.raises(NoRedisServer, match="belongs to another user"), private_redis(home_settings):
        pass


def test_the_next_user_stops_a_server_whose_owner_was_killed(home_settings: Settings) -> None:
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from producer.service.private_redis import private_redis\n"
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


def test_the_server_listens_on_no_port(broker: Broker) -> None:
    process = server_process(broker)
    assert process.net_connections(kind="inet") == []
    listening = process.net_connections(kind="unix")
    assert private_socket(Path(broker.url.removeprefix("unix://")).parents[1]).name in {
        Path(connection.laddr).name for connection in listening
    }
    assert broker.redis.config_get("port") == {"port": "0"}


def test_only_the_owner_can_access_the_socket(broker: Broker, home_settings: Settings) -> None:
    socket = private_socket(home_settings.home)
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(socket.stat().st_mode) & 0o077 == 0


def test_permissions_of_an_existing_folder_are_corrected(home_settings: Settings) -> None:
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
def test_a_home_may_have_any_name(tmp_path: Path, name: str) -> None:
    settings = Settings(home=tmp_path / name.strip())
    assert len(os.fsencode(private_socket(settings.home))) <= SOCKET_PATH_LIMIT
    with private_redis(settings):
        broker = broker_for(settings)
        broker.send([(1, "analysis"), (2, "analysis")])
        assert waiting(broker, "analysis") == [1, 2]
    assert not broker.answers()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of temporary files with a path that is short enough for sockets, without a runtime folder."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    with tempfile.TemporaryDirectory(prefix="u") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


@pytest.fixture
def long_home(short: Path, tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / ("long" * 40))


@pytest.mark.parametrize("kind", ["others can write", "link", "another user"])
def test_nobody_connects_to_a_socket_in_a_folder_of_others(long_home: Settings, tmp_path: Path, kind: str) -> None:
    folder = private_socket(long_home.home).parent
    (target := tmp_path / "target").mkdir(mode=0o700)
    if kind == "link":
        folder.symlink_to(target)
    else:
        folder.mkdir(mode=0o700)
    folder.chmod(0o777 if kind == "others can write" else 0o700)
    if kind == "another user":
        if os.getuid() != 0:
            pytest.skip("only root can give a folder to another user")
        os.chown(folder, 65534, 65534)
    (folder / "redis.password").write_text("of somebody else")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "redis.sock"))
        server.listen()
        broker = broker_for(long_home)
        with pytest.raises(BrokerUnreachable, match="belongs to another user"):
            broker.ping()
        with pytest.raises(RedisConnectionError, match="belongs to another user"):  # as workers connect
            broker.redis.llen("analysis")
        received, _ = server.accept()
        assert received.recv(1000) == b""  # not even the password
        received.close()


def test_a_socket_of_a_long_path_is_in_the_runtime_folder(
    long_home: Settings, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = private_socket(long_home.home)
    (runtime := short / "r").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    assert private_socket(long_home.home).parents[1] == runtime
    for mode in (0o755, 0o770):
        runtime.chmod(mode)
        assert private_socket(long_home.home) == before
    runtime.chmod(0o700)
    before.parent.mkdir(mode=0o700)
    before.touch()  # of a server that runs there
    assert private_socket(long_home.home) == before


def test_homes_with_long_paths_have_different_sockets(tmp_path: Path) -> None:
    first, second = (Settings(home=tmp_path / ("long" * 40) / name) for name in ("a", "b"))
    assert private_socket(first.home) != private_socket(second.home)
    with private_redis(first):
        assert broker_for(first).answers()
        assert not broker_for(second).answers()


def test_the_error_of_a_server_that_does_not_start_is_reported(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    socket = private_socket(settings.home)
    (socket / "in the way").mkdir(parents=True)
    with pytest.raises(NoRedisServer, match="does not respond"), private_redis(settings):
        pass


def test_a_missing_server_program_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home_settings: Settings
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with (
        pytest.raises(NoRedisServer, match="no redis-server program is on the PATH"),
        private_redis(home_settings),
    ):
        pass
