"""Check that Redis accepts what the broker writes, and that no key has been replaced by something else."""

from __future__ import annotations

from redis import Redis
from redis.exceptions import RedisError

from producer.operations.checks import Check
from shared.jobs.broker import Broker
from shared.kinds.specification import QUEUES

NO_MESSAGE = "not a message"
TYPES = {**dict.fromkeys(QUEUES, "list"), "unacked": "hash", "unacked_index": "zset", "unacked_mutex": "string"}
BINDINGS = {f"_kombu.binding.{queue}": "set" for queue in QUEUES}


def redis_keys_check(broker: Broker) -> Check:
    """Check the types of the broker's keys, and that messages can be written. Changes nothing."""
    try:
        wrong = {key: found for key, found in _types(broker.redis).items() if found != (TYPES | BINDINGS)[key]}
        if not wrong:
            for (
                queue
            ) in QUEUES:  # does nothing, since no message has this text, but needs all that a message needs
                broker.redis.linsert(queue, "BEFORE", NO_MESSAGE, NO_MESSAGE)
    except RedisError as error:
        remedy = "Correct the permissions of its user, its memory limit, or its disk; a replica can't be used."
        return Check("redis keys", False, f"Redis refuses messages: {error}", remedy, 3)
    if wrong:
        found = ", ".join(f"{key} is a {kind}, not a {(TYPES | BINDINGS)[key]}" for key, kind in wrong.items())
        remedy = (
            f"Remove it (redis-cli DEL {' '.join(wrong)}); messages are sent again. Who else uses this database?"
        )
        return Check("redis keys", False, f"something else has written keys: {found}", remedy, 3)
    return Check("redis keys", True, "messages can be written")


def _types(redis: Redis) -> dict[str, str]:
    """Return the types of the existing keys."""
    kinds = {key: redis.type(key) for key in (*TYPES, *BINDINGS)}
    texts = {key: kind.decode() if isinstance(kind, bytes) else str(kind) for key, kind in kinds.items()}
    return {key: kind for key, kind in texts.items() if kind != "none"}
