"""Celery's Redis transport for workers, which validates untrusted messages.

Anyone who can write to Redis can put arbitrary data into a queue. Kombu decodes a message before any task runs,
and an unexpected envelope would terminate the worker and the shard that it computes. So only the shard id of a
message is passed on, in a new envelope: no other task, no time limits, no callbacks.
"""

from __future__ import annotations

import base64
import json
import logging
import time
import uuid
from queue import Empty
from typing import Any

from kombu.transport import redis, virtual
from redis.exceptions import ResponseError

from shared.jobs.broker import TASK

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds between two attempts to receive, if the server refuses them

logger = logging.getLogger(__name__)

_logged: set[str] = set()  # refusals, by all channels of this process


def checked(message: Any, queue: str) -> dict[str, Any] | None:
    """Return a new message with only the shard id of the received one, or None if that has no shard id."""
    try:
        if message["headers"]["task"] != TASK:
            return None
        arguments, *_ = json.loads(base64.b64decode(message["body"]))
        (shard_id,) = arguments
    except (LookupError, TypeError, ValueError, RecursionError):
        return None
    if type(shard_id) is not int:
        return None
    task_id = str(uuid.uuid4())
    return {
        "body": base64.b64encode(json.dumps([[shard_id], {}, {}]).encode()).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"lang": "py", "task": TASK, "id": task_id, "root_id": task_id, "ignore_result": True},
        "properties": {
            "correlation_id": task_id,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": task_id,
        },
    }


class QoS(redis.QoS):
    """Unacknowledged messages; the server may refuse to list them."""

    def restore_visible(self, *arguments: Any, **options: Any) -> None:
        try:
            super().restore_visible(*arguments, **options)
        except ResponseError as error:
            self.channel.refused(error)


class Channel(redis.Channel):
    """Channel that tolerates messages that can't be decoded, a server that disconnects, and refused commands.

    Redis refuses commands if a key has another type, the user has no permission, or it has become a replica. A
    worker would exit at such an error, and its successor as well. Instead it waits, longer and longer.
    """

    QoS = QoS
    _pause = FIRST_PAUSE
    _next_poll = 0.0
    _is_refused = False  # the last attempt to receive

    def refused(self, error: Exception) -> None:
        """Log a refusal, unless it was logged already."""
        reason = str(error).rpartition("caused error: ")[2]  # without the command
        if reason not in _logged:
            _logged.add(reason)
            logger.error("Redis refuses commands: %s. Waiting; `analyze doctor` names the key", reason)

    def _brpop_start(self, timeout: float | None = None) -> None:
        if time.monotonic() >= self._next_poll:
            super()._brpop_start(timeout)

    def _size(self, queue: str) -> int:
        try:
            return int(super()._size(queue))
        except ResponseError as error:  # when the worker starts
            self.refused(error)
            return 0

    def _queue_bind(self, *arguments: Any) -> None:
        try:
            super()._queue_bind(*arguments)
        except ResponseError as error:  # a worker needs no bindings to receive
            self.refused(error)

    def get_table(self, exchange: str) -> Any:
        try:
            return super().get_table(exchange)
        except ResponseError as error:
            self.refused(error)
            return []

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        try:
            super().basic_ack(delivery_tag, multiple)
        except ResponseError as error:
            virtual.QoS.ack(self.qos, delivery_tag)
            self.refused(error)
        except self.connection_errors:
            # Release the message locally. Otherwise this worker would wait forever for a free prefetch slot. The
            # server still has the message and delivers it again; the ledger ignores shards that are done.
            virtual.QoS.ack(self.qos, delivery_tag)
            raise

    def _brpop_read(self, **options: Any) -> Any:
        try:
            received = super()._brpop_read(**options)
        except ResponseError as error:
            self.refused(error)
            self._is_refused = True
            self._next_poll = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            return True
        except Empty:
            self._answered()
            raise
        except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError) as error:
            logger.warning("message discarded: it can't be decoded (%s)", type(error).__name__)
            return True
        self._answered()
        return received

    def _answered(self) -> None:
        if self._is_refused:
            logger.warning("Redis no longer refuses commands")
            _logged.clear()
        self._is_refused, self._pause = False, FIRST_PAUSE


class Transport(redis.Transport):
    """Transport that delivers only shard ids."""

    Channel = Channel

    def _deliver(self, message: Any, queue: str) -> None:
        if shard := checked(message, queue):
            super()._deliver(shard, queue)
        else:
            logger.warning("message discarded: it has no shard id")
