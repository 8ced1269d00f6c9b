"""Send shard ids through Celery on Redis, and inspect the queues.

A message may be delivered several times or be lost: see ``shared.jobs.ledger`` for why that is harmless.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from celery import Celery
from kombu.connection import Connection
from kombu.exceptions import KombuError
from redis import ConnectionPool, CredentialProvider, Redis, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from shared.errors import BrokerRefuses, BrokerUnreachable
from shared.jobs.ledger import Ledger
from shared.jobs.redis_url import RedisAddress, parse_redis_url
from shared.kinds.specification import QUEUES
from shared.settings import Settings, redacted

TASK = "unitscope.run_shard"
SOCKET_PATH_LIMIT = 100  # bytes; the operating system's limit is 107

logger = logging.getLogger(__name__)


_BROKER_NUMBERS = itertools.count()


class _Credentials(CredentialProvider):
    """Username and password for a server. A password file is read at each connection, since it may change."""

    def __init__(self, broker: Broker) -> None:
        self._broker, self._address = broker, broker._address

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        if self._broker.refusal:  # at each connection, of both clients, before anything is sent
            raise RedisConnectionError(self._broker.refusal)
        password = self._address.password or ""
        if file := self._address.password_file:
            try:
                password = file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
                raise RedisConnectionError(f"the password can't be read from {file}: {reason}") from None
        return (self._address.username, password) if self._address.username else (password,)


class Broker:
    """One Redis server."""

    def __init__(self, url: str, private_folder: Path | None = None) -> None:
        """``private_folder`` is the socket's folder if only this user may have access to it."""
        self.url, self._private_folder = url, private_folder

    @property
    def refusal(self) -> str:
        """Why the socket must not be used, or an empty text."""
        folder = self._private_folder
        if folder is None or not os.path.lexists(folder) or is_private(folder):
            return ""
        return f"the folder {folder} belongs to another user, or others can write it"

    @cached_property
    def _address(self) -> RedisAddress:
        return parse_redis_url(self.url)

    @cached_property
    def _credentials(self) -> CredentialProvider | None:
        return _Credentials(self) if self._address.has_password or self._address.username else None

    @cached_property
    def celery(self) -> Celery:
        """The Celery application as a client; ``worker.app`` configures it further for workers."""
        app = Celery("unitscope", broker=self._address.celery_url(), set_as_current=False)
        app.conf.update(
            task_ignore_result=True,
            task_serializer="json",
            accept_content=["json"],
            broker_use_ssl=self._address.tls,
            broker_connection_timeout=5,
            broker_transport_options={
                "socket_timeout": 10,
                "socket_connect_timeout": 5,
                # Kombu shares connections between equal addresses, even with different credentials.
                "broker_number": next(_BROKER_NUMBERS),
            },
            task_publish_retry=False,
        )
        # The password is not part of the URL, which Celery logs, so it can also be read again when it changes.
        app.amqp.Connection = partial(Connection, credential_provider=self._credentials)
        return app

    @cached_property
    def redis(self) -> Redis:
        address = self._address
        arguments: dict[str, Any] = {"db": address.database, "credential_provider": self._credentials}
        if address.socket:
            arguments |= {"connection_class": UnixDomainSocketConnection, "path": address.socket}
        else:
            arguments |= {"host": address.host, "port": address.port}
        if address.tls:
            arguments |= {"connection_class": SSLConnection, **address.tls}
        return Redis(connection_pool=ConnectionPool(socket_connect_timeout=4, socket_timeout=4, **arguments))

    def ping(self) -> None:
        """Check that Redis responds.

        Raises
        ------
        BrokerUnreachable
        """
        with self._explained():
            self.redis.ping()

    def answers(self) -> bool:
        """Return whether Redis responds."""
        try:
            self.ping()
        except BrokerUnreachable:
            return False
        return True

    def depth(self, queue: str) -> int:
        """Return the number of messages in a queue.

        Raises
        ------
        BrokerUnreachable, BrokerRefuses
        """
        with self._explained():
            try:
                return int(self.redis.llen(queue))
            except ResponseError as error:
                raise ResponseError(f"the key {queue}: {error}") from error

    def send(self, shards: list[tuple[int, str]]) -> None:
        """Send a message for each (shard id, queue).

        Raises
        ------
        BrokerUnreachable
            some or all of the messages may not have been sent.
        """
        self.ping()  # fails at once, where Celery would take seconds
        with self._explained(), self.celery.producer_pool.acquire(block=True) as producer:
            for shard_id, queue in shards:
                self.celery.send_task(TASK, args=[shard_id], queue=queue, producer=producer, ignore_result=True)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            if self.refusal:
                raise BrokerUnreachable(url=redacted(self.url), reason=self.refusal)
            if missing := self._address.missing_file():
                raise BrokerUnreachable(url=redacted(self.url), reason=f"the file {missing} does not exist")
            yield
        except ResponseError as error:
            raise BrokerRefuses(url=redacted(self.url), reason=error) from error
        except (RedisError, KombuError, OSError, ValueError, TypeError) as error:  # the last two: an invalid URL
            raise BrokerUnreachable(url=redacted(self.url), reason=error) from error


def dispatch(ledger: Ledger, broker: Broker) -> int:
    """Send a message for every queued shard that needs one; return the number of messages.

    Raises
    ------
    BrokerUnreachable
        the unsent shards are marked as unsent, and a sweeper sends their messages later.
    """
    sent = 0
    while shards := list(ledger.take_unsent()):
        try:
            broker.send(shards)
        except BrokerUnreachable:
            ledger.mark_unsent([shard_id for shard_id, _ in shards])
            raise
        sent += len(shards)
    return sent


def retry_and_send(ledger: Ledger, broker: Broker, job_id: int, *, private: bool) -> None:
    """Queue the unfinished shards of a job again, as ``Ledger.retry`` does, and send their messages.

    A ``private`` Redis doesn't have to run: `analyze up` starts it, and sends the messages.

    Raises
    ------
    NoSuchJob, JobStateConflict, NotRepeatable
    BrokerUnreachable
        a Redis that isn't private doesn't respond; nothing was changed.
    """
    if not private:
        broker.ping()
    ledger.retry(job_id)
    if broker.answers():
        dispatch(ledger, broker)


def sweep(ledger: Ledger, broker: Broker, resend_seconds: float) -> None:
    """Run the sweeper once: reclaim shards with expired leases, and send lost and unsent messages.

    Raises
    ------
    BrokerUnreachable, DatabaseUnreachable
    """
    if reclaimed := ledger.sweep():
        logger.warning("%d shards reclaimed: their leases have expired", reclaimed)
    refusals, empty = [], []
    for queue in QUEUES:
        try:
            if broker.depth(queue) == 0:
                empty.append(queue)
        except BrokerRefuses as error:
            refusals.append(str(error))
    if empty and (lost := ledger.mark_lost(empty, resend_seconds)):
        logger.warning("%d messages were lost and are sent again", lost)
    try:
        dispatch(ledger, broker)
    except BrokerRefuses as error:
        refusals.append(str(error))
    _log_once(refusals)


_logged: set[str] = set()


def _log_once(refusals: list[str]) -> None:
    """Log what was not refused at the last sweep; a key of a wrong type stays until somebody removes it."""
    for text in refusals:
        if text not in _logged:
            logger.error("%s", text)
    _logged.clear()
    _logged.update(refusals)


def private_socket(home: Path) -> Path:
    """Return the path of the Unix socket of a home folder's private Redis.

    If the path in the home folder is too long for a socket, it is in the user's runtime folder, which nobody else
    can write, or in the folder of temporary files. All processes must agree on it, also those without the
    variables of a login session, so a socket that exists is preferred.
    """
    socket = home / "redis" / "redis.sock"
    if len(str(socket).encode()) <= SOCKET_PATH_LIMIT:
        return socket
    digest = hashlib.sha256(str(home).encode()).hexdigest()[:16]
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    runtime = [Path(given), Path(f"/run/user/{os.getuid()}")] if hasattr(os, "getuid") else []
    folders = [folder for folder in runtime if folder.is_absolute() and is_private(folder)]
    sockets = [folder / f"unitscope-{digest}" / "redis.sock" for folder in folders]
    sockets = [path for path in sockets if len(str(path).encode()) <= SOCKET_PATH_LIMIT]
    sockets.append(Path(tempfile.gettempdir()) / f"unitscope-{digest}" / "redis.sock")
    running = (path for path in sockets if is_private(path.parent) and path.exists())
    return next(running, sockets[0])


def is_private(folder: Path) -> bool:
    """Return whether a folder exists, belongs to this user, and is closed to all others."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    return (
        stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not stat.S_IMODE(status.st_mode) & 0o077
    )


def private_password(socket: Path) -> Path:
    """Return the path of the private Redis's password file, which is next to its socket."""
    return socket.with_suffix(".password")


def broker_for(settings: Settings) -> Broker:
    """Return the broker of the settings: the server of ``redis_url``, or the private Redis."""
    if settings.redis_url:
        return Broker(settings.redis_url)
    socket = private_socket(settings.home)
    password_file = quote(str(private_password(socket)), safe="/")
    # The home folder is trusted, as its database is. Elsewhere, any user could have created the socket's folder.
    folder = None if settings.home in socket.parents else socket.parent
    return Broker(f"unix://{quote(str(socket))}?password_file={password_file}", folder)
