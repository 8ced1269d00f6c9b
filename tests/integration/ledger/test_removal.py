"""Removing jobs: which are refused, what is deleted, and what workers and other commands see of it meanwhile."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from producer.operations.garbage import find_garbage, remove_garbage
from shared.database.base import Base
from shared.database.connection import Database
from shared.database.datasets import Dataset
from shared.errors import (
    DatabaseUnreachable,
    DatasetGone,
    JobInUse,
    JobRemoved,
    JobStateConflict,
    JobStillActive,
    NoSuchJob,
)
from shared.jobs import removal
from shared.jobs.ledger import LeaseLost, Ledger
from shared.jobs.removal import RemovableJob, dependents, removable_jobs, remove_job
from shared.jobs.tables import Artifact, RemovedJob, Shard
from shared.kinds.top9.specification import Top9Specification
from shared.store.references import rows_of_job
from shared.store.store import Store
from tests.integration.ledger.helpers import claimed, expire, finish, job_of, queued, top9


def chosen(database: Database, *job_ids: int, with_dependents: bool = False) -> list[RemovableJob]:
    with database.write() as session:
        return removable_jobs(session, job_ids, with_dependents=with_dependents)


def remove(database: Database, *job_ids: int, with_dependents: bool = False) -> list[int]:
    jobs = chosen(database, *job_ids, with_dependents=with_dependents)
    for job in jobs:
        remove_job(database, job)
    return [job.job_id for job in jobs]


def rows(database: Database, job_id: int) -> dict[str, int]:
    """Number of the job's rows in each table that has any."""
    counts = {}
    with database.read() as session:
        for table in Base.metadata.sorted_tables:
            condition = rows_of_job(table, job_id)
            if condition is not None:
                counts[table.name] = session.scalar(select(func.count()).select_from(table).where(condition)) or 0
    return {name: count for name, count in counts.items() if count}


# --- what is deleted ---


def test_all_rows_of_a_removed_job_are_gone_and_those_of_others_stay(old: Database) -> None:
    before = {job_id: rows(old, job_id) for job_id in range(1, 13)}
    assert len(before[2]) >= 9
    assert len(before[3]) >= 6
    assert remove(old, 3, 2, 5) == [5, 3, 2]
    for job_id, counts in before.items():
        assert rows(old, job_id) == ({} if job_id in (2, 3, 5) else counts), job_id
    with old.read() as session:
        kept = session.scalars(select(RemovedJob).order_by(RemovedJob.id)).all()
        files = session.scalars(select(Artifact).where(Artifact.job_id.is_(None))).all()
    assert [(job.id, job.kind, job.dataset) for job in kept][:2] == [
        (2, "top9", "shapes"),
        (3, "occlusion", "shapes"),
    ]
    assert "conv5" in kept[0].description
    assert len(files) == sum(before[job_id].get("artifacts", 0) for job_id in (2, 3, 5))  # until gc deletes them


def test_rows_are_deleted_in_parts(old: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "ROWS_AT_ONCE", 2)
    remove(old, 3, 2)
    assert rows(old, 2) == rows(old, 3) == {}


def test_an_interrupted_removal_is_completed(old: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then the job is shown as what it is, and neither its results nor its key are used."""
    (job,) = chosen(old, 3)
    key = job_of(Ledger(old), 3).key
    calls = iter(range(3))
    real = removal._change_some

    def cut_off(*arguments: object) -> int:
        if next(calls, None) is None:
            raise DatabaseUnreachable(url=old, reason="the network is down")
        return real(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(removal, "_change_some", cut_off)
        with pytest.raises(DatabaseUnreachable):
            remove_job(old, job)
    half = job_of(Ledger(old), 3)
    assert half.state == "cancelled"
    assert half.key != key
    assert "`analyze rm 3`" in (half.error or "")
    with pytest.raises(JobStateConflict, match="removal has begun"):
        Ledger(old).retry(3)
    assert remove(old, 3) == [3]
    assert rows(old, 3) == {}


def test_the_number_of_a_removed_job_is_not_used_again(ledger: Ledger, specification: Top9Specification) -> None:
    first, _ = ledger.submit(specification)
    ledger.cancel(first)
    remove(ledger.database, first)
    second, new = ledger.submit(specification)
    assert new
    assert second == first + 1
    with pytest.raises(
        JobRemoved, match=rf"Job {first} \(top 9 of zfnet conv5, val\) was removed on 20"
    ) as raised:
        ledger.cancel(first)
    assert raised.value.exit_code == 4


def test_gc_deletes_the_event_files_of_removed_runs_only(ledger: Ledger, job: int, tmp_path: Path) -> None:
    """TensorBoard's files have names of their own, and no row refers to them."""
    store = Store(tmp_path / "store")
    for name in (f"run-{job}", f"run-{job + 1}", "mine"):
        file = store.root / "tensorboard" / name / "events"
        file.parent.mkdir(parents=True)
        file.touch()
        os.utime(file, (0, 0))
    ledger.cancel(job)
    garbage = find_garbage(ledger.database, store, 3600)
    assert [file.path for file in garbage] == [f"tensorboard/run-{job + 1}/events"]
    remove(ledger.database, job)
    remove_garbage(ledger.database, store, find_garbage(ledger.database, store, 3600))
    assert [path.name for path in (store.root / "tensorboard").iterdir()] == ["mine"]


# --- what is refused ---


@pytest.mark.parametrize("claim", [False, True])
def test_a_queued_or_running_job_is_refused(ledger: Ledger, job: int, claim: bool) -> None:
    if claim:
        claimed(ledger, queued(ledger, job)[0])
    before = rows(ledger.database, job)
    with pytest.raises(JobStillActive, match=f"`analyze cancel {job}`"):
        remove(ledger.database, job)
    assert rows(ledger.database, job) == before


def test_an_unknown_job_is_an_error(database: Database) -> None:
    with pytest.raises(NoSuchJob):
        remove(database, 77)


def test_a_job_whose_results_others_use_is_refused_and_they_are_named(old: Database) -> None:
    with old.read() as session:
        assert dependents(session, range(1, 13)) == {1: [3, 2, 4], 4: [7]}
    with pytest.raises(JobInUse, match=r"Job 1 .* used by jobs 2, 3, 4\. .*`analyze rm 1 2 3 4 7`"):
        remove(old, 1)
    with pytest.raises(JobInUse, match=r"Job 1 .* used by job 4\. .*`analyze rm 1 2 3 4 7`"):
        remove(old, 3, 2, 1)
    assert remove(old, 2, 3) == [3, 2]


def test_with_dependents_the_jobs_that_use_them_go_too_unless_one_is_active(old: Database) -> None:
    with pytest.raises(JobStillActive, match="Job 7 is running"):
        remove(old, 1, with_dependents=True)
    with old.write() as session:
        session.execute(update(Shard).where(Shard.job_id == 7, Shard.state == "running").values(lease_until=0))
    ledger = Ledger(old)
    ledger.cancel(7)
    ledger.sweep()
    assert remove(old, 1, with_dependents=True) == [7, 4, 3, 2, 1]


# --- what others see of it ---


def test_a_worker_that_comes_back_to_a_removed_job_has_lost_its_lease(ledger: Ledger, job: int) -> None:
    claim = claimed(ledger, queued(ledger, job)[0])
    ledger.cancel(job)
    expire(ledger, claim.shard_id)
    ledger.sweep()
    remove(ledger.database, job)
    for late in (
        lambda: ledger.heartbeat(claim, 1),
        lambda: ledger.record(claim, lambda session: None),
        lambda: ledger.complete(claim),
        lambda: ledger.fail(claim, "late", again=True),
        lambda: ledger.confirm_cancelled(claim),
    ):
        with pytest.raises(LeaseLost):
            late()
    assert ledger.claim(claim.shard_id, "w") is None
    ledger.count_refused_write(claim)


def test_a_job_cannot_use_one_that_was_removed(ledger: Ledger, job: int, dataset: int) -> None:
    finish(ledger, job)
    using = top9(dataset, seed=1).model_copy(update={"training_job_id": job})
    remove(ledger.database, job)
    with pytest.raises(JobRemoved):
        ledger.submit(using)
    with ledger.database.read() as session:
        assert session.scalar(select(func.count()).select_from(Shard)) == 0


def test_a_job_cannot_be_submitted_on_a_data_set_that_is_gone(
    ledger: Ledger, specification: Top9Specification
) -> None:
    with ledger.database.write() as session:
        session.delete(session.get_one(Dataset, specification.dataset_id))
    with pytest.raises(DatasetGone):
        ledger.submit(specification)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_removal_waits_for_a_submission_that_uses_the_job(ledger: Ledger, job: int, dataset: int) -> None:
    """And is then refused. (On SQLite one transaction comes after the other.)"""
    finish(ledger, job)
    using = top9(dataset, seed=1).model_copy(update={"training_job_id": job})
    inserted, go_on = threading.Event(), threading.Event()

    def hold(session: object, job_id: int) -> None:
        inserted.set()
        assert go_on.wait(30)

    submission = threading.Thread(target=lambda: ledger.submit(using, also=hold))
    submission.start()
    assert inserted.wait(30)
    other = Database(ledger.database.url.render_as_string(hide_password=False))
    outcome: list[Exception] = []

    def attempt() -> None:
        try:
            remove(other, job)
        except Exception as error:
            outcome.append(error)

    attempted = threading.Thread(target=attempt)
    attempted.start()
    attempted.join(0.5)
    assert attempted.is_alive()
    go_on.set()
    submission.join(30)
    attempted.join(30)
    other.close()
    assert [type(error) for error in outcome] == [JobInUse]
