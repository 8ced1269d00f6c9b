"""Prometheus metrics, read with Prometheus's parser, on both databases."""

from __future__ import annotations

import platform
import socket
import time
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text, update

from benchmarks.statements import count_statements
from producer.operations.metrics.counters import COUNTERS
from shared.database.base import utc_now
from shared.database.connection import database_now
from shared.database.datasets import Image
from shared.database.schema import NEWEST_REVISION
from shared.jobs.broker import Broker
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Artifact, Counter, Job, JobState, LeftOutImage, Shard, Worker
from shared.kinds.registry import kinds
from shared.kinds.specification import QUEUES
from shared.version import program_version
from tests.integration.ledger.helpers import SHA256, claimed, finish, queued, top9
from tests.integration.monitoring.helpers import exposition, read, samples, url_of


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
    assert read(ledger)["unitscope_work_done_total kind=top9 stage=search"] == 0


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


def test_each_counter_of_each_stage_exists_from_the_start(ledger: Ledger) -> None:
    """So that ``increase()`` sees the first event: it doesn't count the step from no sample to 1."""
    metrics = read(ledger)
    stages = [(name, stage) for name, kind in kinds().items() for stage in kind.stages]
    for name in (*(f"{name}_total" for name in COUNTERS), "shard_seconds_sum", "shard_seconds_count"):
        assert {metrics[f"unitscope_{name} kind={kind} stage={stage}"] for kind, stage in stages} == {0}
    for state in JobState:
        assert {metrics[f"unitscope_jobs kind={kind} state={state}"] for kind in kinds()} == {0}


def test_the_first_failed_attempt_is_a_step_from_0_to_1(ledger: Ledger) -> None:
    job, _ = ledger.submit(top9(1))
    claim = claimed(ledger, queued(ledger, job)[0])
    sample = "unitscope_attempts_failed_total kind=top9 stage=search"
    before = read(ledger)[sample]
    ledger.fail(claim, "broken", again=True)
    assert (before, read(ledger)[sample]) == (0, 1)


def test_counters_of_a_kind_that_was_removed_are_kept(ledger: Ledger) -> None:
    with ledger.database.write() as session:
        session.add(Counter(name="work_done", kind="brightness", stage="measure", value=7))
    assert read(ledger)["unitscope_work_done_total kind=brightness stage=measure"] == 7


def done_in(ledger: Ledger, job: int, *seconds: float) -> None:
    """Complete shards whose attempts began so many seconds ago."""
    for shard_id, ago in zip(queued(ledger, job), seconds, strict=True):
        claim = claimed(ledger, shard_id)
        with ledger.database.write() as session:
            began = utc_now() - timedelta(seconds=ago)
            session.execute(update(Shard).where(Shard.id == shard_id).values(started_at=began))
        ledger.complete(claim)


def test_durations_are_a_histogram(ledger: Ledger) -> None:
    job, _ = ledger.submit(top9(1, search=4))
    done_in(ledger, job, 0, 20, 500, 10**6)
    metrics = read(ledger)
    histogram = {
        bound: metrics[f"unitscope_shard_seconds_bucket kind=top9 le={bound} stage=search"]
        for bound in ("0.3", "1.0", "10.0", "30.0", "300.0", "1000.0", "10000.0", "30000.0", "+Inf")
    }
    assert list(histogram.values()) == [1, 1, 1, 2, 2, 3, 3, 3, 4]
    assert metrics["unitscope_shard_seconds_count kind=top9 stage=search"] == 4


def test_shards_of_an_older_version_are_only_in_the_last_bucket(ledger: Ledger) -> None:
    """They were counted without their range."""
    with ledger.database.write() as session:
        for name, value in (("shards_done", 5), ("shard_seconds", 100)):
            session.add(Counter(name=name, kind="top9", stage="search", value=value))
    job, _ = ledger.submit(top9(1))
    done_in(ledger, job, 2, 2)
    metrics = read(ledger)
    assert metrics["unitscope_shard_seconds_bucket kind=top9 le=30000.0 stage=search"] == 2
    assert metrics["unitscope_shard_seconds_bucket kind=top9 le=+Inf stage=search"] == 7
    assert metrics["unitscope_shard_seconds_sum kind=top9 stage=search"] > 100


def test_a_completion_counts_with_one_statement(ledger: Ledger) -> None:
    """All transactions contend for the counters' rows."""
    job, _ = ledger.submit(top9(1))
    claim = claimed(ledger, queued(ledger, job)[0])
    with count_statements(ledger.database) as statements:
        ledger.complete(claim)
    assert len([statement for statement in statements if "INSERT INTO counters" in statement]) == 1


def test_running_shards(ledger: Ledger) -> None:
    job, _ = ledger.submit(top9(1, search=3))
    first, second, third = queued(ledger, job)
    for shard_id, ago in ((first, 1000), (second, 10), (third, 5000)):
        ledger.heartbeat(claimed(ledger, shard_id), 16)
        with ledger.database.write() as session:
            began = utc_now() - timedelta(seconds=ago)
            session.execute(update(Shard).where(Shard.id == shard_id).values(started_at=began))
    run_out(ledger, third)  # its worker is gone
    metrics = read(ledger)
    assert metrics["unitscope_running_shards kind=top9 stage=search"] == 2
    assert 1000 <= metrics["unitscope_oldest_running_shard_seconds kind=top9 stage=search"] < 1060
    assert metrics["unitscope_work_in_progress kind=top9 stage=search"] == 32
    assert metrics["unitscope_queue_running_shards queue=analysis"] == 2
    assert metrics["unitscope_oldest_running_shard_seconds kind=train stage=train"] == 0


def test_workers_by_queue_their_memory_and_their_problems(ledger: Ledger) -> None:
    ledger.worker_seen("good", "cuda:0", ["analysis", "training"], 1)
    ledger.worker_seen("bad", "cpu", ["cpu", "analysis"], 2)
    ledger.worker_seen("dead", "cpu", ["cpu"], 3)
    with ledger.database.write() as session:
        session.get_one(Worker, "good").memory_used = 3 * 2**30
        session.get_one(Worker, "good").memory_total = 80 * 2**30
        session.get_one(Worker, "bad").problem = "its data is not mounted"
        session.get_one(Worker, "dead").seen_at -= 1000
    metrics = read(ledger)
    of_queue = {queue: metrics[f"unitscope_queue_workers queue={queue}"] for queue in QUEUES}
    assert of_queue == {"training": 1, "analysis": 2, "cpu": 1}
    assert metrics["unitscope_workers_alive"] == 2
    assert metrics["unitscope_worker_problem device=cuda:0 worker=good"] == 0
    assert metrics["unitscope_worker_problem device=cpu worker=bad"] == 1
    assert metrics["unitscope_worker_memory_used_bytes device=cuda:0 worker=good"] == 3 * 2**30
    assert metrics["unitscope_worker_memory_size_bytes device=cuda:0 worker=good"] == 80 * 2**30
    assert "unitscope_worker_memory_used_bytes device=cpu worker=bad" not in metrics


def test_files_images_left_out_and_sizes(ledger: Ledger, tmp_path: Path) -> None:
    job, _ = ledger.submit(top9(1))
    with ledger.database.write() as session:
        session.get_one(Job, job).stored_bytes = 3 * 10**9
        size = {"width": 9, "height": 9, "class_index": 0, "class_name": "cat", "object_number": 0}
        session.add(Image(id=1, dataset_id=1, path="1.jpg", sha256=SHA256, **size))
        session.flush()
        session.add(LeftOutImage(job_id=job, image_id=1, stage="search", reason="truncated", worker="w"))
        for number in (1, 2):
            session.add(Artifact(path=f"{number}", sha256=SHA256, bytes=2 * 10**9, job_id=None))
    (tmp_path / "1").touch()
    (tmp_path / "2").touch()
    metrics = read(ledger, tmp_path)
    assert metrics["unitscope_job_stored_bytes kind=top9"] == 3 * 10**9
    assert metrics["unitscope_left_out_images kind=top9"] == 1
    assert (metrics["unitscope_store_files"], metrics["unitscope_store_bytes"]) == (2, 4 * 10**9)
    assert metrics["unitscope_database_size_bytes"] > 50_000
    assert 0 < metrics["unitscope_store_disk_free_bytes"] <= metrics["unitscope_store_disk_size_bytes"]


def test_the_disk_of_a_store_that_is_not_here_is_left_out(ledger: Ledger, tmp_path: Path) -> None:
    """The folder is missing, or it is empty because nothing is mounted there."""
    assert "unitscope_store_disk_free_bytes" not in read(ledger, tmp_path / "missing")
    assert "unitscope_store_disk_free_bytes" in read(ledger, tmp_path)  # the store of a new database is empty
    with ledger.database.write() as session:
        session.add(Artifact(path="ab/file.png", sha256=SHA256, bytes=1, job_id=None))
    assert "unitscope_store_disk_free_bytes" not in read(ledger, tmp_path)


@pytest.mark.parametrize(("found", "newer"), [("0005", False), ("9999", True)])
def test_another_schema_is_said(ledger: Ledger, found: str, newer: bool) -> None:
    with ledger.database.write() as session:
        session.execute(text(f"UPDATE alembic_version SET version_num = '{found}'"))
    metrics = read(ledger)
    assert metrics["unitscope_database_up"] == metrics["unitscope_schema_matches"] == 0
    assert metrics[f"unitscope_schema_info found={found} needed={NEWEST_REVISION}"] == 1
    assert "unitscope_workers_alive" not in metrics


def test_build(ledger: Ledger) -> None:
    version, python = program_version(), platform.python_version()
    metrics = read(ledger)
    assert metrics[f"unitscope_build_info python={python} schema={NEWEST_REVISION} version={version}"] == 1
    assert metrics["unitscope_schema_matches"] == 1


def test_a_scrape_is_short_while_redis_hangs(ledger: Ledger) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts connections, and never answers
        broker = Broker(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        began = time.monotonic()
        metrics = samples(exposition(url_of(ledger.database), seconds=2, broker=broker))
        assert time.monotonic() - began < 6
    assert (metrics["unitscope_redis_up"], metrics["unitscope_database_up"]) == (0, 1)
