"""Helpers of the broker tests."""

from __future__ import annotations

import base64
import json

from shared.jobs.broker import TASK, Broker


def waiting(broker: Broker, queue: str) -> list[int]:
    """Return the shard ids of the messages in a queue, oldest first."""
    bodies = []
    for message in broker.redis.lrange(queue, 0, -1):
        envelope = json.loads(message)
        assert envelope["headers"]["task"] == TASK
        arguments, *_ = json.loads(base64.b64decode(envelope["body"]))
        bodies += arguments
    return bodies[::-1]
