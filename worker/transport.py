"""Celery's Redis transport for workers, which validates untrusted messages.

Anyone who can write to Redis can put arbitrary data into a queue. Kombu decodes a message before any task runs,
and an unexpected envelope would terminate the worker and the shard that it computes. So only the shard id of a
message is passed on, in a new envelope: no other task, no time limits, no callbacks.
"""

from __future__ import annotations

import base64
import json
import logging
import uuid
from typing import Any

from kombu.transport import redis, virtual

from shared.jobs.broker import TASK

logger = logging.getLogger(__name__)


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


class Channel(redis.Channel):
    """Channel that tolerates messages that can't be decoded, and a server that disconnects during a shard."""

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        try:
            super().basic_ack(delivery_tag, multiple)
        except self.connection_errors:
            # Release the message locally. Otherwise this worker would wait forever for a free prefetch slot. The
            # server still has the message and delivers it again; the ledger ignores shards that are done.
            virtual.QoS.ack(self.qos, delivery_tag)
            raise

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError) as error:
            logger.warning("message discarded: it can't be decoded (%s)", type(error).__name__)
            return True


class Transport(redis.Transport):
    """Transport that delivers only shard ids."""

    Channel = Channel

    def _deliver(self, message: Any, queue: str) -> None:
        if shard := checked(message, queue):
            super()._deliver(shard, queue)
        else:
            logger.warning("message discarded: it has no shard id")
