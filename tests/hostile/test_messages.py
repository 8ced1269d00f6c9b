"""Malformed messages: a real worker discards them and continues in the same process."""

from __future__ import annotations

import base64
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.jobs.broker import TASK, Broker, broker_for
from shared.settings import Settings
from tests.conftest import Analyze
from tests.hostile.fuzzing import examples
from worker.runner import run
from worker.transport import checked

NO_SHARD = 2**31 - 1
BODY = [[NO_SHARD], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]


def envelope(body: object = BODY, **changes: Any) -> dict[str, Any]:
    """Build a message in Celery's format with changes."""
    return {
        "body": base64.b64encode(json.dumps(body).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": TASK, "id": "1", "eta": None, "timelimit": [None, None]},
        "properties": {
            "correlation_id": "1", "delivery_mode": 2, "delivery_info": {"exchange": "", "routing_key": "cpu"},
            "priority": 0, "body_encoding": "base64", "delivery_tag": "1",
        },
        **changes,
    }  # fmt: skip


def headers(**changes: Any) -> dict[str, Any]:
    return envelope(headers={**envelope()["headers"], **changes})


def packed(content: object) -> bytes:
    return content if isinstance(content, bytes) else json.dumps(content).encode()


class Payload:
    """An object that creates a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.folder,)


def pickled(folder: Path) -> dict[str, Any]:
    body = base64.b64encode(pickle.dumps(Payload(folder))).decode()
    return envelope() | {"body": body, "content-type": "application/x-python-serialize"}


HOSTILE: dict[str, object] = {
    "no text": b"\xff\x00\x01",
    "nothing": b"",
    "no JSON": b"{",
    "deep": b"[" * 200_000,
    "huge number": b"9" * 10_000,
    "infinity": b"Infinity",
    "a date that is none": b'{"__type__": "datetime", "__value__": 5}',
    "a number": 5,
    "a text": "unitscope",
    "a list": [],
    "no fields": {},
    "no headers": envelope(headers=None),
    "no properties": envelope(properties=None) | {"headers": None},
    "headers of a list": envelope(headers=[1]),
    "no body": envelope() | {"body": None},
    "body of a number": envelope() | {"body": 5},
    "body that is no base64": envelope() | {"body": "!!!"},
    "body of nothing": envelope([]),
    "body of a text": envelope("abc"),
    "body without arguments": envelope([[], {}, {}]),
    "two arguments": envelope([[1, 2], {}, {}]),
    **{
        f"shard {value!r}": envelope([[value], {}, {}])
        for value in (None, True, 1.0, "1", [1], {"id": 1}, "\x1b[2J")
    },
    "not a number": envelope([[float("nan")], {}, {}]),
    "another task": headers(task="celery.backend_cleanup"),
    "a task of control characters": headers(task="\x1b]0;x\x07\nforged line"),
    "a task of a list": headers(task=[TASK]),
}

HARMLESS: dict[str, object] = {  # the shard's id is used, everything else is ignored
    "another content type": envelope() | {"content-type": "application/x-python-serialize"},
    "unknown encoding": envelope() | {"content-encoding": "rot13"},
    "no delivery tag": envelope(properties={}),
    "a time limit": headers(timelimit=[0.001, 0.001]),
    "a time in a hundred years": headers(eta="2126-01-01T00:00:00+00:00"),
    "a time that is none": headers(eta="soon", expires="never", retries="many"),
    "callbacks": envelope([[NO_SHARD], {"x": 1}, {"callbacks": [{"task": "celery.group"}], "chord": 5}]),
    "a negative shard": envelope([[-1], {}, {}]),
    "a huge shard": envelope([[10**4000], {}, {}]),
}  # fmt: skip


class RunningWorker:
    """A real worker on a real Redis server, and its process ids."""

    def __init__(self, analyze: Analyze) -> None:
        self.analyze = analyze
        analyze.up()
        self.broker: Broker = broker_for(Settings(home=analyze.home))
        self.log = analyze.home / "started.log"
        self.last = NO_SHARD
        self.process = self.pid()

    def pid(self) -> list[dict[str, int]]:
        return self.analyze.json("query", "SELECT pid FROM workers ORDER BY pid")  # type: ignore[no-any-return]

    def put(self, content: bytes) -> None:
        self.broker.redis.lpush("analysis", content)

    def answers(self) -> str:
        """Send a shard that no other message names, wait until all are acknowledged, and return the log."""
        self.last -= 1
        self.broker.send([(self.last, "analysis")])
        self.analyze.wait(lambda: f"shard {self.last} cannot be claimed" in self.words())
        self.analyze.wait(lambda: self.broker.redis.hlen("unacked") == 0)
        return self.words()

    def words(self) -> str:
        return self.log.read_bytes().decode(errors="replace")


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWorker]:
    analyze = Analyze(tmp_path_factory.mktemp("worker") / "home")
    try:
        yield RunningWorker(analyze)
    finally:
        analyze.end()


def test_a_worker_discards_messages_without_a_shard_and_continues(worker: RunningWorker, tmp_path: Path) -> None:
    for content in (*HOSTILE.values(), pickled(tmp_path / "sprung"), b"x" * 20_000_000):
        worker.put(packed(content))
    words = worker.answers()
    assert words.count("message discarded") == len(HOSTILE) + 2
    assert worker.pid() == worker.process
    assert not (tmp_path / "sprung").exists()
    for trace in ("Traceback", "Unrecoverable", "Connection to broker lost", "\x1b]", "\nforged"):
        assert trace not in words
    assert len(words) < 100_000


def test_a_worker_uses_only_the_id_of_a_message(worker: RunningWorker) -> None:
    before = worker.words()
    for content in HARMLESS.values():
        worker.put(packed(content))
    words = worker.answers().removeprefix(before)
    assert words.count("cannot be claimed") + words.count("message ignored") == len(HARMLESS) + 1
    assert "Traceback" not in words
    assert worker.pid() == worker.process


# --- fuzz tests ---

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """Generate a valid message with one field changed at any depth."""
    message = envelope(draw(st.just(BODY) | JSON))
    place: Any = message
    while True:
        key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if isinstance(place[key], (dict, list)) and place[key] and draw(st.booleans()):
            place = place[key]
            continue
        if isinstance(place, dict) and draw(st.booleans()):
            del place[key]
        else:
            place[key] = draw(JSON)
        return message


@examples(300)
@given(message=mutated() | JSON)
def test_checking_a_message_gives_a_shard_or_none(message: Any) -> None:
    result = checked(message, "analysis")
    if result is not None:
        arguments, *rest = json.loads(base64.b64decode(result["body"]))
        assert rest == [{}, {}]
        assert type(arguments[0]) is int
        assert result["headers"].keys() == {"lang", "task", "id", "root_id", "ignore_result"}


@examples(200)
@given(body=JSON | st.binary(max_size=50) | st.integers(min_value=-(2**70), max_value=2**70))
def test_random_bodies_do_not_crash_the_handler(body: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The handler is called directly, with a database without shards."""
    home = tmp_path_factory.getbasetemp() / "handler"
    settings = Settings(home=home, threads=1)
    if not (home / "unitscope.sqlite3").exists():
        Analyze(home)("db", "upgrade")
    run(body, settings)


@pytest.fixture(scope="module")
def put(worker: RunningWorker) -> Iterator[RunningWorker]:
    """The worker. After the test, it must have read all messages and still be running."""
    yield worker
    words = worker.answers()
    assert "Traceback" not in words
    assert "Unrecoverable" not in words
    assert worker.pid() == worker.process


@examples(300)
@given(content=st.binary(max_size=300) | mutated().map(packed) | JSON.map(packed))
def test_random_bytes_in_the_queue_do_not_end_a_worker(put: RunningWorker, content: bytes) -> None:
    put.put(content)
    if put.broker.depth("analysis") > 100:  # let the worker catch up
        put.answers()
