"""Duplicate, late and malformed messages in the queues while a job runs."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable
from typing import Any

from redis import Redis

from shared.jobs.broker import TASK, Broker
from shared.kinds.specification import QUEUES
from tests.faults.conftest import Catalogue
from tests.faults.harness import ANALYSES, STAGES, Case

CATALOGUE = Catalogue()


def test_no_rows_are_lost_or_duplicated(case: Callable[[], None]) -> None:
    case()


def client_of(case: Case) -> Redis:
    assert case.home.redis
    return case.home.redis.client


def broker_of(case: Case) -> Broker:
    assert case.home.redis
    return Broker(case.home.redis.url)


def wait_until_read(case: Case) -> None:
    """Wait until the workers have read all messages."""
    client = client_of(case)
    case.wait_until(lambda: not any(client.llen(queue) for queue in QUEUES))


def duplicates(case: Case) -> None:
    """Send messages for every shard to every queue all the time, regardless of the shard's state."""
    job = case.submit()
    shards = [shard.id for shard in case.home.shards(job)]
    broker = broker_of(case)
    for _ in range(200):
        if case.home.ended(job):
            break
        if sum(map(broker.depth, QUEUES)) < 10:
            case.faults += 1
            broker.send([(case.draw.choice(shards), case.draw.choice(QUEUES)) for _ in range(10)])
        case.wait_until(lambda: sum(map(broker.depth, QUEUES)) < 10)
    wait_until_read(case)


def late(case: Case) -> None:
    """Send messages for shards that are done, and for earlier jobs."""
    job = case.submit()
    case.wait()
    shards = [shard.id for number in range(1, job + 1) for shard in case.home.shards(number)]
    case.faults += 1
    broker_of(case).send([(shard, case.draw.choice(QUEUES)) for shard in shards])
    wait_until_read(case)
    case.submit()


def envelope(arguments: object, named: object = None, task: str = TASK, **headers: Any) -> dict[str, Any]:
    """Build a message in Celery's format."""
    number = str(uuid.uuid4())
    body = json.dumps([arguments, named or {}, {}])
    return {
        "body": base64.b64encode(body.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": task, "id": number, "argsrepr": "", "kwargsrepr": "", **headers},
        "properties": {
            "correlation_id": number,
            "reply_to": str(uuid.uuid4()),
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "analysis"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid.uuid4()),
        },
    }


FOREIGN: list[object] = [
    *(envelope([value]) for value in ("1", None, [], {}, -1, 0, 2**31, 2**63, 2**70, 1.5, True, "x" * 100_000)),
    envelope([10**9]),  # no such shard
    envelope([]),
    envelope([1, 2]),
    envelope([], {"shard_id": 10**9}),
    envelope([], {"shard": 1}),
    envelope([1], task="somebody.elses.task"),
    envelope([1], task="celery.backend_cleanup"),
    envelope([1], eta="2126-01-01T00:00:00+00:00"),
    envelope([1], expires="2001-01-01T00:00:00+00:00"),
    envelope([1], retries=10**6),
    envelope([1], chain=[{"task": TASK, "args": [1]}]),
    {**envelope([1]), "content-type": "application/x-python-serialize"},
    {**envelope([1]), "content-encoding": "no-such-encoding"},
    {**envelope([1]), "body": "no base64"},
    {**envelope([1]), "body": base64.b64encode(b"no json").decode()},
    {**envelope([1]), "body": base64.b64encode(b"\xff\xfe").decode()},
    {**envelope([1]), "headers": {}},
]
UNREADABLE: list[object] = [
    {**envelope([1]), "properties": {}},
    {"body": "x"},
    {},
    [],
    None,
    7,
]
NO_JSON = [b"", b"no json", b"\xff\xfe\x00", b"{", b"[" * 3000]


def foreign(case: Case) -> None:
    """Messages for unknown tasks or without a shard are read once and discarded."""
    job = case.submit()
    messages = [json.dumps(message).encode() for message in FOREIGN]
    case.draw.shuffle(messages)
    case.faults += len(messages)
    for message in messages:
        client_of(case).lpush(case.draw.choice(QUEUES), message)
    case.home.wait(lambda: case.home.ended(job))
    wait_until_read(case)


def malformed(case: Case) -> None:
    """Bytes that are not a message may end the worker, but don't count as an attempt of a shard."""
    job = case.submit()
    messages = [json.dumps(message).encode() for message in UNREADABLE] + NO_JSON
    case.draw.shuffle(messages)
    case.faults += len(messages)
    case.extra = (0, 0)
    for message in messages:
        client_of(case).lpush(case.draw.choice(QUEUES), message)
    case.home.wait(lambda: case.home.ended(job))
    wait_until_read(case)


def wrong_types(case: Case) -> None:
    """If the key of a queue has another Redis type, nothing can be sent or read until it is removed."""
    injection = case.inject("computing", "hold", stage=STAGES[case.kind][0])
    case.submit()
    injection.reached()
    client = client_of(case)
    for queue in QUEUES:
        client.delete(queue)
        client.set(queue, "somebody else's")
    injection.release()
    case.wait_until(lambda: "is unreachable" in case.home.log())
    for queue in QUEUES:
        client.delete(queue)


CATALOGUE.add("duplicate messages", duplicates)
CATALOGUE.add("late messages", late)
CATALOGUE.add("foreign messages", foreign)
CATALOGUE.add("malformed messages", malformed)
CATALOGUE.add("queues of another type", wrong_types, kinds=ANALYSES)  # a shard must follow the first one
