"""What is taken from a message: a shard's id. Whoever can write to Redis can say much more in Celery's headers."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

from celery.worker.consumer import Consumer
from kombu import Message
from kombu.exceptions import ContentDisallowed

from shared.broker import TASK

logger = logging.getLogger(__name__)


class HintConsumer(Consumer):
    """Gives Celery a message that we wrote ourselves, for each that comes.

    So nothing else of it is believed: no time limit, which would kill the work; no eta and no expiry; no
    callbacks, chains, groups, retries and replies, by which a message sends others; no name of another task.
    """

    def create_task_handler(self, *arguments: Any, **options: Any) -> Callable[[Message], None]:
        handle: Callable[[Message], None] = super().create_task_handler(*arguments, **options)

        def take(message: Message) -> None:
            shard_id = _shard_id(message)
            if shard_id is None:
                logger.warning("a message without a shard's id is ignored")
                message.reject_log_error(logger, self.connection_errors)
                return
            _rewrite(message, shard_id)
            handle(message)

        return take


def _shard_id(message: Message) -> int | None:
    try:
        if message.headers.get("task") != TASK:
            return None
        body = message.decode()
        (shard_id,) = body[0]
    except ContentDisallowed:  # anything but JSON is not even read
        return None
    except Exception:  # it can be anything
        return None
    return shard_id if isinstance(shard_id, int) and not isinstance(shard_id, bool) else None


def _rewrite(message: Message, shard_id: int) -> None:
    message.headers = {"lang": "py", "task": TASK, "id": _task_id(message.headers.get("id")), "argsrepr": ""}
    message.properties = {}
    message.content_type, message.content_encoding = "application/json", "utf-8"
    message.body = json.dumps([[shard_id], {}, {}])
    message._decoded_cache = None


def _task_id(given: object) -> str:
    """The id by which a log can be followed, if it is one."""
    try:
        return str(UUID(str(given)))
    except ValueError:
        return str(uuid4())
