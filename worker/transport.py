"""Celery's transport over Redis, for a worker: what lies in a queue is hostile until checked.

Whoever can write to Redis can put anything into a queue. Kombu reads it before any of our code does, and an
envelope that isn't what it expects ends the worker, with the shard that it computes. So nothing of a message is
passed on but its shard's id, in an envelope of our own: no other task, no time limits, no callbacks.
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
    """The message anew, with the shard's id of the one that came and nothing else; None where there is no id."""
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
    """Survives what is no JSON, and a server that goes away while a shard is computed."""

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        try:
            super().basic_ack(delivery_tag, multiple)
        except self.connection_errors:
            # Else this worker would wait for ever for room to take another one: nothing else notices that the
            # server was away. It has the message still, and delivers it again; the ledger knows what is done.
            virtual.QoS.ack(self.qos, delivery_tag)
            raise

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError) as error:
            logger.warning("a message that can't be read is thrown away (%s)", type(error).__name__)
            return True


class Transport(redis.Transport):
    """Delivers shards' ids and nothing else."""

    Channel = Channel

    def _deliver(self, message: Any, queue: str) -> None:
        if shard := checked(message, queue):
            super()._deliver(shard, queue)
        else:
            logger.warning("a message without a shard's id is thrown away")
