"""Prometheus metrics, read with Prometheus's parser, on both databases."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import update

from producer.operations.metrics import Metrics
from shared.database.base import utc_now
from shared.database.connection import Database, database_now
from shared.database.datasets import Dataset
from shared.jobs.broker import Broker
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Shard
from tests.conftest import Analyze
from tests.integration.ledger.helpers import SHA256, claimed, finish, queued, top9

NO_REDIS = Broker("redis://127.0.0.1:1/0")


@pytest.fixture
def ledger(database: Database) -> Ledger:
    with database.write() as session:
        session.add(
            Dataset(id=1, name="voc", kind="voc", root="/", options={}, fingerprint=SHA256, class_names=[])
        )
    return Ledger(database, lease_seconds=30)


def samples(text: str) -> dict[str, float]:
    """Return the value of every sample by ``name label=value ...``, with sorted labels."""
    return {
        sample.name + "".join(f" {name}={value}" for name, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def read(ledger: Ledger) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(Metrics(ledger.database, NO_REDIS))
    return samples(generate_latest(registry).decode())


def run_out(ledger: Ledger, shard_id: int) -> None:
    with ledger.database.write() as session:
        session.execute(update(Shard).where(Shard.id == shard_id).values(lease_until=1.0))


def test_metrics_of_an_empty_ledger(ledger: Ledger) -> None:
    metrics = read(ledger)
    assert metrics["unitscope_database_up"] == 1
    assert metrics["unitscope_redis_up"] == 0
    assert metrics["unitscope_workers_alive"] == 0
    assert metrics["unitscope_shards state=queued"] == 0


def test_a_done_job_is_counted(ledger: Ledger) -> None:
    job, _ = ledger.submit(top9(1, search=3))
    finish(ledger, job)
    metrics = read(ledger)
    assert metrics["unitscope_jobs kind=top9 state=done"] == 1
    assert metrics["unitscope_shards state=done"] == 8
    assert metrics["unitscope_work_done_total kind=top9 stage=search"] == 96  # images
    assert metrics["unitscope_work_done_total kind=top9 stage=project"] == 3  # units
    assert metrics["unitscope_shard_seconds_count kind=top9 stage=search"] == 3
    assert 0 <= metrics["unitscope_shard_seconds_sum kind=top9 stage=search"] < 60


def test_lost_leases_late_writes_and_duplicates_are_counted(ledger: Ledger) -> None:
    job, _ = ledger.submit(top9(1))
    first, second = queued(ledger, job)
    late = claimed(ledger, first)
    assert ledger.claim(first, "another") is None
    run_out(ledger, first)
    assert ledger.sweep() == 1
    claimed(ledger, second)
    run_out(ledger, second)
    claimed(ledger, second)  # without a sweep
    ledger.count_refused_write(late)
    ledger.fail(claimed(ledger, first), "broken", again=True)
    metrics = read(ledger)
    assert metrics["unitscope_messages_ignored_total kind=top9 stage=search"] == 1
    assert metrics["unitscope_leases_lost_total kind=top9 stage=search"] == 2
    assert metrics["unitscope_late_writes_refused_total kind=top9 stage=search"] == 1
    assert metrics["unitscope_attempts_failed_total kind=top9 stage=search"] == 1


def test_all_leases_that_a_sweep_finds_expired_are_counted(ledger: Ledger) -> None:
    for seed in range(2):
        job, _ = ledger.submit(top9(1, search=3, seed=seed))
        for shard_id in queued(ledger, job):
            claimed(ledger, shard_id)
            run_out(ledger, shard_id)
    assert ledger.sweep() == 6
    assert read(ledger)["unitscope_leases_lost_total kind=top9 stage=search"] == 6


def test_a_message_of_an_ended_job_is_counted_as_ignored(ledger: Ledger) -> None:
    job, _ = ledger.submit(top9(1))
    first, second = queued(ledger, job)
    claimed(ledger, first)
    ledger.cancel(job)
    assert ledger.claim(second, "w") is None  # being cancelled
    ledger.worker_gone("w")
    assert ledger.claim(first, "w") is None  # ended
    assert read(ledger)["unitscope_messages_ignored_total kind=top9 stage=search"] == 2


def test_a_shards_seconds_are_those_of_its_last_attempt(ledger: Ledger) -> None:
    """They are never negative, even if the clock is set back meanwhile."""
    job, _ = ledger.submit(top9(1))
    for shard_id, ago in zip(queued(ledger, job), (100, -100), strict=True):
        claim = claimed(ledger, shard_id)
        began = utc_now() - timedelta(seconds=ago)
        with ledger.database.write() as session:
            session.execute(update(Shard).where(Shard.id == shard_id).values(started_at=began))
        ledger.complete(claim)
        assert 100 <= read(ledger)["unitscope_shard_seconds_sum kind=top9 stage=search"] < 160


def test_a_refused_write_is_not_counted(ledger: Ledger) -> None:
    """Counters are part of the transaction that they count."""
    job, _ = ledger.submit(top9(1))
    claim = claimed(ledger, queued(ledger, job)[0])

    def fall(session: object) -> None:
        raise RuntimeError("a row is wrong")

    with pytest.raises(RuntimeError):
        ledger.complete(claim, fall)
    assert "unitscope_work_done_total kind=top9 stage=search" not in read(ledger)


def test_size_and_age_of_queues(ledger: Ledger) -> None:
    job, _ = ledger.submit(top9(1))
    unsent = read(ledger)
    assert unsent["unitscope_queue_shards queue=analysis"] == 2
    assert 0 < unsent["unitscope_queue_age_seconds queue=analysis"] < 60
    assert unsent["unitscope_queue_age_seconds queue=cpu"] == 0
    ledger.take_unsent()
    with ledger.database.write() as session:
        first = queued(ledger, job)[0]
        session.execute(update(Shard).where(Shard.id == first).values(sent_at=database_now() - 1000))
    assert 1000 <= read(ledger)["unitscope_queue_age_seconds queue=analysis"] < 1060


def test_speed_and_workers(ledger: Ledger) -> None:
    job, _ = ledger.submit(top9(1))
    claim = claimed(ledger, queued(ledger, job)[0])
    ledger.heartbeat(claim, 16)
    ledger.worker_seen("w", "cuda:0", ["analysis"], 1)
    metrics = read(ledger)
    assert metrics["unitscope_work_per_second kind=top9 stage=search"] > 16 / 60
    assert metrics["unitscope_workers_alive"] == 1
    assert 0 <= metrics["unitscope_worker_seen_seconds device=cuda:0 worker=w"] < 30


def test_metrics_of_an_unreachable_database(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    registry.register(Metrics(Database(f"sqlite:///{tmp_path / 'no' / 'such.sqlite3'}"), NO_REDIS))
    assert samples(generate_latest(registry).decode())["unitscope_database_up"] == 0


@pytest.fixture
def served(analyze: Analyze) -> Iterator[str]:
    process = analyze.start("metrics", "--port", "0")
    analyze.wait(lambda: "http://" in analyze.log(), process)
    yield analyze.log().split("http://")[1].split(";")[0]
    analyze.stop()
    assert process.wait() in (130, -15)


def test_the_command_prints_and_serves(analyze: Analyze, served: str) -> None:
    printed = samples(analyze("metrics").stdout)
    with urllib.request.urlopen(f"http://{served}") as answer:
        fetched = samples(answer.read().decode())
    assert {name for name in fetched if "seconds" not in name} == {n for n in printed if "seconds" not in n}


def test_log_lines_of_a_worker_have_the_fields_of_its_shard(analyze: Analyze, shapes_root: Path) -> None:
    """With JSON logs, every line of the service is one object."""
    analyze.environment["ANALYZE_LOG_FORMAT"] = "json"
    analyze("dataset", "add", "shapes", "--root", shapes_root)
    analyze.up()
    train = "submit train --dataset shapes --network zfnet --size 64 --fc 16 --maps 8,8,8 --epochs 1 --wait"
    job = int(analyze(*train.split()).stdout)
    analyze.wait(lambda: '"shard finished"' in analyze.log())
    analyze.stop()
    said, *written = (analyze.home / "started.log").read_text().splitlines()
    assert said.startswith("unitscope is up")  # the message for people
    # Celery's last message does not go through logging.
    lines = [json.loads(line) for line in written if line and not line.startswith("worker: ")]
    begun = next(line for line in lines if line["message"] == "shard started")
    assert (begun["job"], begun["stage"], begun["attempt"], begun["device"]) == (job, "train", 1, "cpu")
    assert begun["level"] == "INFO"
    assert begun["worker"] == next(line["worker"] for line in lines if line["message"] == "shard finished")
