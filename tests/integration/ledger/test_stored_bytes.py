"""``jobs.stored_bytes``: the sizes of the files that a job wrote first, whatever happens to either."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from producer.operations.garbage import find_garbage, remove_garbage
from shared.errors import DatabaseUnreachable
from shared.jobs.ledger import LeaseLost, Ledger
from shared.jobs.removal import removable_jobs, remove_job
from shared.jobs.tables import Artifact, Job, Shard
from shared.kinds.top9.specification import Top9Specification
from shared.store.store import Store, StoredFile
from tests.integration.ledger.helpers import Rivals, claimed, expire, job_of, queued, top9
from worker.kinds.common import register_artifacts
from worker.runner import ShardContext


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def context_of(ledger: Ledger, store: Store, shard_id: int) -> ShardContext:
    return ShardContext(claimed(ledger, shard_id), ledger, store, "cpu")


def registering(context: ShardContext, *files: StoredFile) -> Callable[[Session], None]:
    return lambda session: register_artifacts(context, session, files)


def sizes(ledger: Ledger, job: int) -> tuple[int, int]:
    """Return the recorded and the true number of bytes."""
    with ledger.database.read() as session:
        files = session.scalar(select(func.sum(Artifact.bytes)).where(Artifact.job_id == job)) or 0
    return job_of(ledger, job).stored_bytes, int(files)


def test_each_file_counts_once_for_the_job_that_wrote_it_first(
    ledger: Ledger, store: Store, job: int, dataset: int
) -> None:
    first, second = (context_of(ledger, store, shard) for shard in queued(ledger, job))
    a, b, c = (store.put(content, ".png") for content in (b"a" * 100, b"b" * 20, b"c" * 3))
    first.complete(registering(first, a, b, a), a.path)
    second.complete(registering(second, b, c), c.path)
    assert sizes(ledger, job) == (123, 123)
    other, _ = ledger.submit(top9(dataset, seed=1))
    third = context_of(ledger, store, queued(ledger, other)[0])
    third.complete(registering(third, a, store.put(b"d" * 7, ".png")))
    assert sizes(ledger, other) == (7, 7)
    assert sizes(ledger, job) == (123, 123)


def test_an_attempt_that_is_done_again_counts_once(ledger: Ledger, store: Store, job: int) -> None:
    """Its first transaction is rolled back, and a worker that lost its lease adds nothing."""
    shard = queued(ledger, job)[0]
    late, file = context_of(ledger, store, shard), store.put(b"a" * 100, ".png")
    attempts = iter([True])

    def write(session: Session) -> None:
        register_artifacts(late, session, [file])
        if next(attempts, False):
            raise DatabaseUnreachable(url="postgresql://db", reason="the network is down")

    expire(ledger, shard)
    again = context_of(ledger, store, shard)
    with pytest.raises(LeaseLost):
        late.complete(registering(late, file))
    assert sizes(ledger, job) == (0, 0)
    late = again
    again.complete(write)
    assert sizes(ledger, job) == (100, 100)


def test_two_shards_that_write_the_same_files_at_the_same_time(
    ledger: Ledger, store: Store, job: int, at_once: Rivals
) -> None:
    files = [store.put(bytes([number]) * 10, ".png") for number in range(50)]
    claims = [claimed(ledger, shard) for shard in queued(ledger, job)]

    def complete(number: int) -> Callable[[Ledger], None]:
        def call(own: Ledger) -> None:
            context = ShardContext(claims[number], own, store, "cpu")
            context.record(registering(context, *files[number * 10 : 30 + number * 10]), locks_job=True)
            context.complete(registering(context, *files))

        return call

    assert at_once(complete(0), complete(1)) == [None, None]
    assert sizes(ledger, job) == (500, 500)


def test_files_that_gc_removes_no_longer_count(
    ledger: Ledger, store: Store, job: int, specification: Top9Specification
) -> None:
    shard = queued(ledger, job)[0]
    context = context_of(ledger, store, shard)
    kept, superseded, reused = (store.put(content, ".npz") for content in (b"a" * 100, b"b" * 20, b"c" * 3))
    context.complete(registering(context, kept, superseded, reused), kept.path)
    for file in (kept, superseded, reused):
        os.utime(store.root / file.path, (1, 1))
    garbage = find_garbage(ledger.database, store, 3600)
    assert {file.path for file in garbage} == {superseded.path, reused.path}
    store.put(b"c" * 3, ".npz")  # after it was listed
    assert [file.path for file in remove_garbage(ledger.database, store, garbage)] == [superseded.path]
    assert sizes(ledger, job) == (103, 103)


def test_a_removed_job_s_size_is_what_it_wrote(ledger: Ledger, store: Store, job: int, dataset: int) -> None:
    other, _ = ledger.submit(top9(dataset, seed=1))
    file = store.put(b"a" * 100, ".npz")
    for of_job in (job, other):
        context = context_of(ledger, store, queued(ledger, of_job)[0])
        context.complete(registering(context, file), file.path)
        ledger.cancel(of_job)
    with ledger.database.write() as session:
        removable = removable_jobs(session, [job, other])
    assert {found.job_id: found.bytes for found in removable} == {job: 100, other: 0}
    for found in removable:
        if found.job_id == job:
            remove_job(ledger.database, found)
    assert sizes(ledger, other) == (0, 0)  # the file stays for it, without a job that wrote it first
    with ledger.database.read() as session:
        assert session.scalars(select(Artifact.job_id)).all() == [None]
        assert session.scalar(select(Shard.result_path).where(Shard.job_id == other, Shard.state == "done"))


def test_sizes_may_exceed_32_bits(ledger: Ledger, store: Store, job: int) -> None:
    with ledger.database.write() as session:
        session.execute(update(Job).where(Job.id == job).values(stored_bytes=3 * 10**12))
    context = context_of(ledger, store, queued(ledger, job)[0])
    context.complete(registering(context, store.put(b"a", ".png")))
    assert job_of(ledger, job).stored_bytes == 3 * 10**12 + 1
