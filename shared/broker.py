"""Sending shards' ids through Celery on Redis, and looking at the queues.

Redis delivers at least once and now and then not at all: see ``shared.ledger`` for what makes that harmless.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from celery import Celery
from kombu.exceptions import KombuError
from redis import Redis
from redis.exceptions import RedisError

from shared.errors import BrokerOutOfReach
from shared.ledger import Ledger
from shared.settings import Settings, redacted
from shared.specifications import QUEUES

TASK = "unitscope.run_shard"
SOCKET_PATH_LIMIT = 100  # bytes; the system's own limit is 107

logger = logging.getLogger(__name__)


class Broker:
    """One Redis server."""

    def __init__(self, url: str) -> None:
        self.url = url

    @cached_property
    def celery(self) -> Celery:
        """The Celery application: a client here, the whole of it in ``worker.app``."""
        app = Celery("unitscope", broker=_celery_url(self.url), set_as_current=False)
        app.conf.update(
            task_ignore_result=True,
            task_serializer="json",
            accept_content=["json"],
            broker_connection_timeout=5,
            broker_transport_options={"socket_timeout": 10, "socket_connect_timeout": 5},
            task_publish_retry=False,
        )
        return app

    @cached_property
    def redis(self) -> Redis:
        return Redis.from_url(self.url, socket_connect_timeout=5, socket_timeout=10)

    def ping(self) -> None:
        """See that Redis answers.

        Raises
        ------
        BrokerOutOfReach
        """
        with self._explained():
            self.redis.ping()

    def answers(self) -> bool:
        """Whether Redis answers."""
        try:
            self.ping()
        except BrokerOutOfReach:
            return False
        return True

    def depth(self, queue: str) -> int:
        """Messages that wait in a queue.

        Raises
        ------
        BrokerOutOfReach
        """
        with self._explained():
            return int(self.redis.llen(queue))

    def send(self, shards: list[tuple[int, str]]) -> None:
        """Send a message for each (shard id, queue).

        Raises
        ------
        BrokerOutOfReach
            some or all may not have been sent.
        """
        self.ping()  # says at once what Celery takes seconds to find out
        with self._explained(), self.celery.producer_pool.acquire(block=True) as producer:
            for shard_id, queue in shards:
                self.celery.send_task(TASK, args=[shard_id], queue=queue, producer=producer, ignore_result=True)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (RedisError, KombuError, OSError, ValueError, TypeError) as error:  # the last two: an odd URL
            raise BrokerOutOfReach(url=redacted(self.url), reason=error) from error


def dispatch(ledger: Ledger, broker: Broker) -> int:
    """Send a message for every shard that needs one; returns how many.

    Raises
    ------
    BrokerOutOfReach
        what was not sent is marked so, and a sweeper sends it later.
    """
    sent = 0
    while shards := list(ledger.take_unsent()):
        try:
            broker.send(shards)
        except BrokerOutOfReach:
            ledger.mark_unsent([shard_id for shard_id, _ in shards])
            raise
        sent += len(shards)
    return sent


def sweep(ledger: Ledger, broker: Broker, resend_seconds: float) -> None:
    """One round of looking after: expired leases, lost messages, unsent shards.

    Raises
    ------
    BrokerOutOfReach, DatabaseOutOfReach
    """
    if taken := ledger.sweep():
        logger.warning("%d shards taken back from silent workers", taken)
    for queue in QUEUES:
        if broker.depth(queue) == 0 and (lost := ledger.mark_lost(queue, resend_seconds)):
            logger.warning("%d messages lost on queue %s: sent again", lost, queue)
    dispatch(ledger, broker)


def private_socket(home: Path) -> Path:
    """The unix socket of the private Redis of a home folder."""
    socket = home / "redis" / "redis.sock"
    if len(str(socket).encode()) <= SOCKET_PATH_LIMIT:
        return socket
    digest = hashlib.sha256(str(home).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"unitscope-{digest}" / "redis.sock"


def broker_for(settings: Settings) -> Broker:
    """The broker of the settings: a server by its URL, or the private one."""
    return Broker(settings.redis_url or f"unix://{quote(str(private_socket(settings.home)))}")


def _celery_url(url: str) -> str:
    """Kombu's names for a unix socket and the number of a database behind it."""
    if not url.startswith("unix://"):
        return url
    return url.replace("unix://", "redis+socket://", 1).replace("db=", "virtual_host=")
