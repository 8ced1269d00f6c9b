"""When `analyze up` and `analyze worker` end, and what happens to the shard in hand."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from sqlalchemy import select

from shared.database.connection import Database
from shared.jobs.broker import broker_for
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Shard, Worker
from shared.settings import load_settings
from tests.conftest import Analyze
from tests.integration.small_jobs import TRAIN

ENDLESS = (*TRAIN, "--epochs", 2000, "--ignore-space")  # its estimate is more than some machines have


@pytest.fixture
def service(analyze: Analyze, shapes_root: Path) -> Analyze:
    """The command line with a data set."""
    analyze("dataset", "add", "shapes", "--root", shapes_root)
    return analyze


def shards(service: Analyze, job: str) -> list[tuple[str, int]]:
    """Return the state and the number of attempts of each shard."""
    database = Database(service.database_url)
    with database.read() as session:
        rows = session.execute(select(Shard.state, Shard.attempt).where(Shard.job_id == int(job))).all()
        assert session.scalars(select(Worker)).all() == [] or any(p.poll() is None for p in service.started)
    database.close()
    return [(row.state, row.attempt) for row in rows]


def work_done(service: Analyze, job: str) -> int:
    database = Database(service.database_url)
    with database.read() as session:
        found = session.scalars(select(Shard.work_done).where(Shard.job_id == int(job))).one()
    database.close()
    return found


def begun(service: Analyze, *options: str) -> tuple[subprocess.Popen[bytes], str]:
    """Start the service and an endless training run; return once its first epoch is recorded."""
    process = service.up(*options)
    job = service(*ENDLESS).stdout.strip()
    service.wait(lambda: work_done(service, job) > 100, process)
    return process, job


def test_burst_ends_when_all_work_is_done(service: Analyze) -> None:
    """All stages of the jobs are run, and nothing is left behind, not even the private Redis."""
    run = service(*TRAIN, "--epochs", 1).stdout.strip()
    process = service.start("up", "--devices", "cpu", "--burst")
    assert process.wait(180) == 0
    assert shards(service, run) == [("done", 1)]
    assert not broker_for(load_settings({"home": service.home})).answers()
    job = service("submit", "--dataset", "shapes", "--run", run, "--layer", 2, "--units", "0-3", "--shards", 3)
    process = service.start("up", "--devices", "cpu", "--burst", "--queues", "analysis,cpu")
    assert process.wait(180) == 0
    assert {state for state, _ in shards(service, job.stdout.strip())} == {"done"}
    left = service(*TRAIN, "--epochs", 2).stdout.strip()  # a queue that the next worker does not serve
    assert service.start("up", "--devices", "cpu", "--burst", "--queues", "cpu").wait(60) == 0
    assert shards(service, left) == [("queued", 0)]


def test_idle_workers_end(service: Analyze) -> None:
    began = time.monotonic()
    assert service.start("up", "--devices", "cpu", "--max-idle", "4s").wait(60) == 0
    assert time.monotonic() - began > 4


def test_up_sends_messages_that_an_earlier_redis_has_lost(service: Analyze) -> None:
    """It starts a new Redis: what was sent before doesn't have to be waited for."""
    service.environment["ANALYZE_RESEND_SECONDS"] = "3600"
    job = service(*TRAIN, "--epochs", 1).stdout.strip()
    database = Database(service.database_url)
    assert len(Ledger(database).take_unsent()) == 1
    database.close()
    process = service.start("up", "--devices", "cpu", "--burst")
    assert process.wait(120) == 0
    assert service.json("status", job)["state"] == "done"


def test_workers_end_in_time(service: Analyze) -> None:
    """What can't be finished is handed back before the time is over, and the attempt is not counted."""
    job = service(*ENDLESS).stdout.strip()
    began = time.monotonic()
    process = service.start("up", "--devices", "cpu", "--max-time", "30s", "--grace", "3s")
    service.wait(lambda: "begins on" in service("logs", job).stdout, process)
    assert process.wait(60) == 0
    assert 20 < time.monotonic() - began < 45  # with the start of the command
    assert shards(service, job) == [("queued", 0)]
    assert "was stopped" in service("logs", job).stdout


def test_a_signal_to_all_processes_lets_the_shard_finish(service: Analyze) -> None:
    """Batch systems and systemd send SIGTERM to every process of a job at once."""
    process = service.up("--grace", "5m")
    job = service(*TRAIN, "--epochs", 12).stdout.strip()
    service.wait(lambda: "begins on" in service("logs", job).stdout, process)
    service("submit", "train", "--dataset", "shapes", *TRAIN[4:], "--epochs", 3)  # must not begin
    redis = broker_for(load_settings({"home": service.home})).redis.info("server")["process_id"]
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in family:
        if member.pid != redis:
            member.send_signal(signal.SIGTERM)
    time.sleep(1)
    assert process.poll() is None
    assert service.live_workers() == 1
    assert process.wait(200) == 0
    assert shards(service, job) == [("done", 1)]
    assert shards(service, "2") == [("queued", 0)]


def test_a_shard_is_handed_back_after_the_grace_time(service: Analyze) -> None:
    """Another worker continues the training run from its checkpoint."""
    process, job = begun(service, "--grace", "3s")
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    assert process.wait(60) == 0
    assert 2.5 < time.monotonic() - began < 15
    assert shards(service, job) == [("queued", 0)]
    process = service.up()
    service.wait(lambda: "resum" in service("logs", job).stdout.lower(), process)


def test_a_second_signal_hands_it_back_at_once(service: Analyze) -> None:
    process, job = begun(service, "--grace", "1h")
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGHUP)  # at the same moment: not a second one
    time.sleep(2)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0
    assert shards(service, job) == [("queued", 0)]


def test_options_are_checked(service: Analyze) -> None:
    assert "is not a duration such as" in service("worker", "--grace", "soon", code=2).stderr
    assert "must be longer than 5 s" in service("up", "--max-time", "5s", code=2).stderr
