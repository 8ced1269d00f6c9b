"""A Redis that refuses commands, since a key has a wrong type or its memory is full, is waited for."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from producer.operations.redis_keys import redis_keys_check
from producer.service.private_redis import private_redis
from shared.errors import BrokerRefuses
from shared.jobs.broker import TASK, Broker, broker_for, sweep
from shared.jobs.ledger import Ledger
from shared.settings import Settings, environment

KEYS = ("analysis", "unacked", "unacked_index", "_kombu.binding.training")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with private_redis(settings := Settings(home=tmp_path / "home")):
        yield broker_for(settings)


def test_a_worker_waits_until_the_keys_are_right(tmp_path: Path, broker: Broker) -> None:
    """It starts with all keys wrong, says so once, and receives messages as soon as they are removed."""
    for key in KEYS:
        broker.redis.set(key, "x")
    log = tmp_path / "log"
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "worker.app",
        "worker",
        "--pool",
        "prefork",
        "--concurrency",
        "1",
    ]
    command += ["--without-gossip", "--without-mingle", "--loglevel", "INFO"]
    with log.open("wb") as output:
        variables = {**os.environ, **environment(Settings(home=tmp_path / "home"))}
        worker = subprocess.Popen(command, env=variables, stdout=output, stderr=output, start_new_session=True)

    def wait(text: str, count: int = 1) -> None:
        deadline = time.monotonic() + 90
        while log.read_text().count(text) < count:
            assert worker.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)

    try:
        wait("Redis refuses commands: WRONGTYPE")
        time.sleep(5)  # several attempts
        assert log.read_text().count("Redis refuses commands") == 1
        broker.redis.delete(*KEYS)
        broker.celery.send_task(TASK, args=["not a number"], queue="analysis")
        wait("message discarded")
        broker.redis.set("analysis", "x")
        wait("Redis refuses commands: WRONGTYPE", 2)
        assert "Traceback" not in log.read_text()
        assert worker.poll() is None
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


def test_a_sweep_serves_the_other_queues_and_says_it_once(
    ledger: Ledger, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    broker.redis.set("analysis", "x")
    with pytest.raises(BrokerRefuses, match="the key analysis: WRONGTYPE"):
        broker.depth("analysis")
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            sweep(ledger, broker, 30)
        assert len(caplog.records) == 1
        assert "analysis" in caplog.text
        broker.redis.delete("analysis")
        sweep(ledger, broker, 30)
        broker.redis.set("analysis", "x")
        sweep(ledger, broker, 30)
        assert len(caplog.records) == 2


@pytest.mark.parametrize("key", KEYS)
def test_doctor_names_a_key_of_a_wrong_type(broker: Broker, key: str) -> None:
    assert redis_keys_check(broker).well
    broker.redis.set(key, "x")
    check = redis_keys_check(broker)
    assert (check.well, check.level) == (False, "error")
    assert f"{key} is a string" in check.found
    assert f"redis-cli DEL {key}" in check.remedy
    assert broker.redis.get(key) == b"x"


def test_doctor_reports_a_redis_that_accepts_no_messages(broker: Broker) -> None:
    broker.redis.config_set("maxmemory", "1")
    assert "maxmemory" in redis_keys_check(broker).found
    broker.redis.config_set("maxmemory", "0")
    broker.redis.rpush("analysis", "message")
    assert redis_keys_check(broker).well
    assert broker.redis.lrange("analysis", 0, -1) == [b"message"]
    broker.redis.replicaof("127.0.0.1", "1")
    assert "replica" in redis_keys_check(broker).found
