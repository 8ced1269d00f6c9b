"""Helpers of the ledger's tests: reading and changing jobs and shards, and concurrent calls."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import select, update

from shared.database.base import Base
from shared.database.connection import Database
from shared.errors import JobStateConflict
from shared.jobs.ledger import Claim, Ledger
from shared.jobs.tables import Counter, Event, Job, Shard, ShardState
from shared.kinds.top9.specification import SearchedLayerSpecification, Top9Specification
from shared.kinds.train.specification import TrainSpecification
from unitscope.description import NetworkSpecification
from unitscope.training.recipes import Recipe

SHA256 = "ab" * 32
ACTIVE = ("waiting", "queued", "running")
RACES = 20  # repetitions of races for the last shard
FEW = 8  # repetitions of other races


def top9(dataset_id: int, *, search: int = 2, seed: int = 0) -> Top9Specification:
    """Return a small search: ``search`` shards of *search*, one of *select*, ``search`` of *project*, one of
    *finish*."""
    return Top9Specification(
        dataset_id=dataset_id,
        dataset_fingerprint=SHA256,
        split="val",
        image_count=32 * search,
        network=NetworkSpecification(name="zfnet", classes=20, image_size=64),
        weights_sha256=f"{seed:064x}",
        weights_path=f"ab/{SHA256}.safetensors",
        training_job_id=None,
        layers=[SearchedLayerSpecification(layer="conv5", path="features.10", units=list(range(search)))],
        shards=search,
    )


def training(dataset: int, seed: int = 0) -> TrainSpecification:
    """Return a run of 10 epochs of 12 images."""
    return TrainSpecification(
        dataset_id=dataset,
        dataset_fingerprint=SHA256,
        network=NetworkSpecification(name="zfnet", classes=20, image_size=64),
        recipe_name="zfnet",
        recipe=Recipe(epochs=10),
        train_count=10,
        val_count=2,
        seed=seed,
    )


def job_of(ledger: Ledger, job: int) -> Job:
    with ledger.database.read() as session:
        return session.get_one(Job, job)


def shards_of(ledger: Ledger, job: int) -> Sequence[Shard]:
    with ledger.database.read() as session:
        return session.scalars(select(Shard).where(Shard.job_id == job).order_by(Shard.number)).all()


def states(ledger: Ledger, job: int) -> list[str]:
    return [shard.state for shard in shards_of(ledger, job)]


def queued(ledger: Ledger, job: int) -> list[int]:
    return [shard.id for shard in shards_of(ledger, job) if shard.state == ShardState.QUEUED]


def messages(ledger: Ledger, job: int) -> list[str]:
    with ledger.database.read() as session:
        return list(session.scalars(select(Event.message).where(Event.job_id == job).order_by(Event.id)))


def dump(ledger: Ledger) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table except the counters."""
    with ledger.database.read() as session:
        return {
            table.name: sorted(map(tuple, session.execute(select(table))), key=repr)
            for table in Base.metadata.sorted_tables
            if table is not Counter.__table__
        }


def claimed(ledger: Ledger, shard_id: int, worker: str = "w") -> Claim:
    claim = ledger.claim(shard_id, worker)
    assert claim is not None
    return claim


def finish_stage(ledger: Ledger, job: int) -> None:
    for shard_id in queued(ledger, job):
        ledger.complete(claimed(ledger, shard_id))


def finish(ledger: Ledger, job: int) -> None:
    """Complete a job's remaining shards; ``top9`` has four stages."""
    for _ in range(4):
        finish_stage(ledger, job)


def refused(ledger: Ledger, change: Callable[[int], object], job: int, state: str) -> None:
    """Assert that the change is refused because of the job's state, and that it changes nothing."""
    before = dump(ledger)
    with pytest.raises(JobStateConflict, match=f"is {state}"):
        change(job)
    assert dump(ledger) == before


def expire(ledger: Ledger, shard_id: int) -> None:
    """Let the shard's lease expire."""
    with ledger.database.write() as session:
        session.execute(
            update(Shard).where(Shard.id == shard_id, Shard.token.is_not(None)).values(lease_until=1.0)
        )


def pause_is_over(ledger: Ledger, shard_id: int) -> None:
    with ledger.database.write() as session:
        session.execute(update(Shard).where(Shard.id == shard_id).values(paused_until=1.0))


def die(ledger: Ledger, shard_id: int, times: int = 1) -> None:
    """Claim the shard and let its lease expire, ``times`` times, as workers that die do."""
    for _ in range(times):
        claimed(ledger, shard_id, "dead")
        expire(ledger, shard_id)


class Rivals:
    """Several ledgers on one database, each with its own connections, as in several processes."""

    def __init__(self, ledger: Ledger, count: int = 4) -> None:
        url = ledger.database.url.render_as_string(hide_password=False)
        self.ledgers = [Ledger(Database(url), ledger.lease_seconds) for _ in range(count)]
        for own in self.ledgers:
            own.live_workers()  # opens the connection

    def __call__(self, *calls: Callable[[Ledger], Any]) -> list[Any]:
        """Run each call in its own thread, all at the same time; return their results or exceptions."""
        barrier = threading.Barrier(len(calls))
        outcomes: list[Any] = [None] * len(calls)

        def run(place: int, own: Ledger, call: Callable[[Ledger], Any]) -> None:
            barrier.wait()
            try:
                outcomes[place] = call(own)
            except Exception as error:
                outcomes[place] = error

        threads = [
            threading.Thread(target=run, args=(place, own, call))
            for place, (own, call) in enumerate(zip(self.ledgers, calls, strict=False))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return outcomes
