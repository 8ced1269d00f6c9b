"""The first error of a failed job."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner
from sqlalchemy import update

from producer.cli.main import cli
from producer.results.progress import FirstError, job_progress
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Shard
from tests.integration.ledger.helpers import claimed, finish, queued, top9


def first_error(ledger: Ledger, job: int) -> FirstError | None:
    return job_progress(ledger.database, job).first_error


def expire_attempt(ledger: Ledger, shard_id: int) -> None:
    claimed(ledger, shard_id)
    with ledger.database.write() as session:
        session.execute(update(Shard).where(Shard.id == shard_id).values(lease_until=1.0))
    ledger.sweep()


def test_the_first_of_three_attempts_is_shown(
    ledger: Ledger, dataset: int, database_url: str, tmp_path: Path
) -> None:
    job, _ = ledger.submit(top9(dataset))
    shard_id = queued(ledger, job)[1]
    ledger.fail(claimed(ledger, shard_id), "no room\non the disk", again=True)
    assert first_error(ledger, job) is None  # the job has not failed yet
    expire_attempt(ledger, shard_id)
    expire_attempt(ledger, shard_id)
    progress = job_progress(ledger.database, job)
    assert progress.job.error is not None
    assert "stopped responding in attempt 3" in progress.job.error
    assert progress.first_error is not None
    assert (progress.first_error.shard, progress.first_error.message) == (1, "no room\non the disk")
    assert progress.as_json()["first_error"]["message"] == "no room\non the disk"
    done = CliRunner().invoke(cli, ["--home", str(tmp_path), "--database-url", database_url, "status", str(job)])
    assert "shard 1): no room\non the disk\nerror: Shard 1 (search): worker w stopped responding" in done.output
    assert f"`analyze retry {job}` runs the unfinished shards again" in done.output


def test_a_job_whose_workers_died(ledger: Ledger, dataset: int) -> None:
    job, _ = ledger.submit(top9(dataset))
    for _ in range(3):
        expire_attempt(ledger, queued(ledger, job)[0])
    found = first_error(ledger, job)
    assert found is not None
    assert "stopped responding in attempt 3" in found.message


def test_errors_before_a_retry_do_not_count(ledger: Ledger, dataset: int) -> None:
    job, _ = ledger.submit(top9(dataset))
    ledger.fail(claimed(ledger, queued(ledger, job)[0]), "old", again=False)
    ledger.retry(job)
    ledger.fail(claimed(ledger, queued(ledger, job)[0]), "new", again=False)
    found = first_error(ledger, job)
    assert found is not None
    assert found.message == "new"
    ledger.retry(job)
    finish(ledger, job)
    assert first_error(ledger, job) is None
