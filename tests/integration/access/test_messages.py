"""Forged messages in Redis can make a worker look up a shard's id, and nothing else."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from producer.service.private_redis import private_redis
from shared.jobs.broker import TASK, Broker, broker_for
from shared.settings import Settings, environment
from tests.conftest import Analyze


class Worker:
    """A worker process without a sweeper, which receives only the messages of the tests."""

    def __init__(self, home: Path, settings: Settings) -> None:
        self.broker = broker_for(settings)
        self.analyze = Analyze(home)
        self.log = home / "worker.log"
        self.ids = itertools.count(1_000_000)
        command = [sys.executable, "-m", "celery", "-A", "worker.app", "worker", "--pool", "prefork"]
        command += ["--concurrency", "1", "--loglevel", "INFO", "--without-gossip", "--without-mingle"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                env={**os.environ, **environment(settings)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.analyze.wait(lambda: " ready." in self.log.read_text(), self.process)

    def unknown(self) -> int:
        """Return a new id without a shard. The worker logs that it looked the id up."""
        return next(self.ids)

    def looks_for(self, shard: int) -> None:
        """Wait until the worker has handled a message with this id."""
        words = f"shard {shard} cannot be claimed:"
        self.analyze.wait(lambda: words in self.log.read_text(), self.process, seconds=60)

    def takes_the_next(self) -> None:
        """Send a valid message and wait until it and all earlier ones have been handled."""
        shard = self.unknown()
        self.broker.send([(shard, "analysis")])
        self.looks_for(shard)

    def child(self) -> int:
        (child,) = psutil.Process(self.process.pid).children()
        return child.pid

    def send(self, body: Any, *, task: str = TASK, **headers: Any) -> None:
        """Send a message with the given content."""
        with self.broker.celery.producer_pool.acquire(block=True) as producer:
            producer.publish(
                body,
                routing_key="analysis",
                serializer="json",
                headers={"lang": "py", "task": task, "id": "an id", "argsrepr": "[]", **headers},
                reply_to="somebody",
                correlation_id="an id",
            )

    def stop(self) -> None:
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(60)


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    home = tmp_path_factory.mktemp("messages") / "home"
    settings = Settings(home=home)
    with private_redis(settings):
        running = Worker(home, settings)
        yield running
        running.stop()


NOTHING: dict[str, Any] = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
LATER = (datetime.now(UTC) + timedelta(days=1)).isoformat()
EARLIER = (datetime.now(UTC) - timedelta(days=1)).isoformat()


@pytest.mark.parametrize(
    "headers",
    [
        {"timelimit": [0.001, 0.001]},  # must be the first, while the child is still importing torch
        {"eta": LATER},
        {"eta": "soon"},
        {"expires": EARLIER},
        {"timelimit": "never"},
        {"retries": 1000, "group": "g", "root_id": "r", "parent_id": "p", "replaced_task_nesting": 9},
        {"shadow": "celery.chord_unlock", "stamped_headers": ["x"], "stamps": {"x": "y"}, "ignore_result": False},
    ],
    ids=["time limit", "eta", "no eta", "expired", "no time limit", "retries", "shadow"],
)
def test_headers_have_no_effect(worker: Worker, headers: dict[str, Any]) -> None:
    """The shard is claimed immediately by a child that is not killed."""
    child, shard = worker.child(), worker.unknown()
    worker.send([[shard], {}, NOTHING], **headers)
    worker.looks_for(shard)
    worker.takes_the_next()
    assert worker.child() == child


def test_callbacks_chains_and_chords_send_nothing(worker: Worker) -> None:
    victim, shard = worker.unknown(), worker.unknown()
    signature = {"task": TASK, "args": [victim], "kwargs": {}, "options": {"queue": "analysis"}, "immutable": True}
    embedded = {"callbacks": [signature], "errbacks": [signature], "chain": [signature], "chord": signature}
    worker.send([[shard], {}, embedded])
    worker.looks_for(shard)
    worker.takes_the_next()
    worker.takes_the_next()
    assert f"shard {victim} " not in worker.log.read_text()


@pytest.mark.parametrize(
    "task", ["celery.map", "celery.chord_unlock", "celery.backend_cleanup", "os.system", "", None, [], {}]
)
def test_other_tasks_are_not_run(worker: Worker, task: Any) -> None:
    before = worker.log.read_text().count("it has no shard id")
    worker.send([[{"task": TASK, "args": []}, [[1]]], {}, NOTHING], task=task)
    worker.analyze.wait(lambda: worker.log.read_text().count("it has no shard id") > before, worker.process)


@pytest.mark.parametrize("body", [None, 5, [], [[]], [[1, 2], {}, NOTHING], [["1"], {}, NOTHING], {"args": [1]}])
def test_invalid_bodies_are_ignored(worker: Worker, body: Any) -> None:
    before = worker.log.read_text().count("it has no shard id")
    worker.send(body)
    worker.analyze.wait(lambda: worker.log.read_text().count("it has no shard id") > before, worker.process)


def test_pickles_are_not_loaded(worker: Worker) -> None:
    before = worker.log.read_text().count("it has no shard id")
    with worker.broker.celery.producer_pool.acquire(block=True) as producer:
        producer.publish(
            b"cos\nsystem\n(S'touch /tmp/pickled'\ntR.",
            routing_key="analysis",
            content_type="application/x-python-serialize",
            content_encoding="binary",
            headers={"lang": "py", "task": TASK, "id": "an id"},
        )
    worker.analyze.wait(lambda: worker.log.read_text().count("it has no shard id") > before, worker.process)


@pytest.mark.parametrize(
    "order", ["shutdown", "pool_restart", "pool_shrink", "rate_limit", "revoke", "cancel_consumer"]
)
def test_remote_control_commands_are_ignored(worker: Worker, order: str) -> None:
    child = worker.child()
    arguments = {"queue": "analysis", "task_name": TASK, "rate_limit": "1/h", "task_id": "x", "terminate": True}
    worker.broker.celery.control.broadcast(order, arguments=arguments)
    assert worker.broker.celery.control.inspect(timeout=0.5).active() is None
    channels = worker.broker.redis.pubsub_channels("*pidbox*")
    assert channels == []
    assert worker.process.poll() is None
    assert worker.child() == child


def test_the_worker_still_works_after_the_forged_messages(worker: Worker) -> None:
    worker.takes_the_next()


def test_the_products_messages_are_json(worker: Worker) -> None:
    conf = Broker("redis://nowhere").celery.conf
    assert (conf.task_serializer, conf.accept_content) == ("json", ["json"])
