"""A model of the ledger: its transitions on plain objects, without SQL, and the invariants after each of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from shared.database.connection import Database
from shared.jobs.hosts import WORKER_ALIVE_SECONDS
from shared.jobs.tables import ACTIVE_JOBS, Event, Job, JobState, Shard, ShardState, Worker
from shared.jobs.transitions import MAX_ATTEMPTS
from shared.kinds.specification import PlannedShard

IDLE = (ShardState.WAITING, ShardState.QUEUED)
OVER = (ShardState.DONE, ShardState.FAILED, ShardState.CANCELLED)
BEGUN = {ShardState.QUEUED, ShardState.RUNNING, ShardState.DONE, ShardState.FAILED}
TABLES = tuple(model.__table__ for model in (Job, Shard, Event, Worker))
RESULT, NOTE = "result", "note"  # levels of the events that the tests write as results of workers

Rows = dict[str, list[Any]]


def read_rows(database: Database) -> Rows:
    """Return every row of the tables that the ledger writes."""
    with database.read() as session:
        return {
            table.name: list(session.execute(select(table).order_by(*table.primary_key.columns)))
            for table in TABLES
        }


@dataclass
class JobModel:
    """The modelled columns of a job. Of times, only whether they are set is modelled."""

    id: int
    key: str
    generation: int
    state: str
    stage: int
    shards_total: int
    shards_left: int
    cancel_requested: bool
    failed_with: bool
    begun: bool
    ended: bool

    @classmethod
    def of(cls, row: Any) -> JobModel:
        return cls(
            *(row.id, row.key, row.generation, row.state, row.stage, row.shards_total, row.shards_left),
            *(row.cancel_requested, row.error is not None, row.started_at is not None),
            row.finished_at is not None,
        )

    @property
    def active(self) -> bool:
        return self.state in ACTIVE_JOBS


@dataclass
class ShardModel:
    """The modelled columns of a shard."""

    id: int
    job_id: int
    stage: int
    number: int
    queue: str
    state: str
    attempt: int
    token: str | None
    lease_until: float | None
    sent_at: float | None
    worker: str | None
    work_done: int
    work_total: int
    result_path: str | None
    failed_with: bool
    begun: bool
    ended: bool
    paused: bool = False

    @classmethod
    def of(cls, row: Any) -> ShardModel:
        return cls(
            *(row.id, row.job_id, row.stage, row.number, row.queue, row.state, row.attempt, row.token),
            *(row.lease_until, row.sent_at, row.worker, row.work_done, row.work_total, row.result_path),
            *(row.error is not None, row.started_at is not None, row.finished_at is not None),
            row.paused_until is not None,
        )

    def leave(self, state: str) -> None:
        """End the claim and set the state."""
        self.state, self.token, self.lease_until = state, None, None
        self.ended = state in OVER


class LedgerModel:
    """The expected rows of the ledger. Each method models the ledger's transition of the same name.

    ``results`` has the ids of the shards whose results were written, ``notes`` counts intermediate results.
    """

    def __init__(self, lease_seconds: float) -> None:
        self.lease_seconds = lease_seconds
        self.jobs: dict[int, JobModel] = {}
        self.shards: dict[int, ShardModel] = {}
        self.seen: dict[str, float] = {}
        self.results: list[int] = []
        self.notes = 0

    @classmethod
    def of(cls, rows: Rows, lease_seconds: float) -> LedgerModel:
        """Return the model of the rows in the database."""
        found = cls(lease_seconds)
        found.jobs = {row.id: JobModel.of(row) for row in rows["jobs"]}
        found.shards = {row.id: ShardModel.of(row) for row in rows["shards"]}
        found.seen = {row.name: row.seen_at for row in rows["workers"]}
        found.results = sorted(row.shard_id for row in rows["events"] if row.level == RESULT)
        found.notes = sum(row.level == NOTE for row in rows["events"])
        return found

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LedgerModel) and vars(self) == vars(other)

    def __hash__(self) -> int:
        raise TypeError

    # --- queries ---

    def of_job(self, job_id: int, *states: str) -> list[ShardModel]:
        return [s for s in self.shards.values() if s.job_id == job_id and (not states or s.state in states)]

    def of_state(self, state: str) -> list[ShardModel]:
        return [shard for shard in self.shards.values() if shard.state == state]

    def expired(self, now: float) -> list[ShardModel]:
        return [s for s in self.of_state(ShardState.RUNNING) if s.lease_until is not None and s.lease_until < now]

    def is_claimable(self, shard: ShardModel, now: float) -> bool:
        job = self.jobs[shard.job_id]
        return (
            job.active
            and not job.cancel_requested
            and (shard.state == ShardState.QUEUED or shard in self.expired(now))
            and shard.attempt < MAX_ATTEMPTS
        )

    def due(self) -> list[int]:
        """Return the shards whose message is due, in order."""
        return sorted(shard.id for shard in self.of_state(ShardState.QUEUED) if shard.sent_at is None)

    def sent(self) -> list[int]:
        """Return the queued shards whose message was sent."""
        return [shard.id for shard in self.of_state(ShardState.QUEUED) if shard.sent_at is not None]

    def alive(self, now: float) -> list[str]:
        return sorted(name for name, seen_at in self.seen.items() if seen_at > now - WORKER_ALIVE_SECONDS)

    # --- transitions ---

    def submit(
        self, job_id: int, key: str, generation: int, shard_ids: Sequence[int], planned: Sequence[PlannedShard]
    ) -> None:
        count = len(planned)
        self.jobs[job_id] = JobModel(
            job_id, key, generation, JobState.QUEUED, 0, count, count, False, False, False, False
        )
        stages = list(dict.fromkeys(shard.stage for shard in planned))
        for number, (shard_id, shard) in enumerate(zip(shard_ids, planned, strict=True)):
            stage = stages.index(shard.stage)
            state = ShardState.WAITING if stage else ShardState.QUEUED
            nothing = (None,) * 4
            self.shards[shard_id] = ShardModel(
                *(shard_id, job_id, stage, number, shard.queue, state, 0, *nothing),
                *(0, shard.work, None, False, False, False),
            )

    def claim(self, shard_id: int, worker: str, token: str, now: float) -> None:
        shard = self.shards[shard_id]
        job = self.jobs[shard.job_id]
        shard.state, shard.token, shard.worker = ShardState.RUNNING, token, worker
        shard.attempt += 1
        shard.lease_until = now + self.lease_seconds
        shard.work_done = shard.work_done if shard.paused else 0
        shard.paused = False
        shard.begun, shard.ended, shard.failed_with = True, False, False
        job.state, job.begun = JobState.RUNNING, True

    def heartbeat(self, shard_id: int, work_done: int, now: float) -> None:
        shard = self.shards[shard_id]
        shard.lease_until = now + self.lease_seconds
        shard.work_done = min(work_done, shard.work_total)

    def record(self, shard_id: int, now: float) -> None:
        self.shards[shard_id].lease_until = now + self.lease_seconds
        self.notes += 1

    def complete(self, shard_id: int, result_path: str) -> None:
        shard = self.shards[shard_id]
        job = self.jobs[shard.job_id]
        shard.leave(ShardState.DONE)
        shard.work_done, shard.result_path = shard.work_total, result_path
        self.results = sorted([*self.results, shard_id])
        job.shards_left -= 1
        if job.shards_left == 0:
            job.state, job.ended = JobState.DONE, True
        elif job.cancel_requested:
            self._end_if_cancelled(job)
        elif all(other.state == ShardState.DONE for other in self.of_job(job.id) if other.stage <= job.stage):
            job.stage += 1
            for other in self.of_job(job.id, ShardState.WAITING):
                if other.stage == job.stage:
                    other.state = ShardState.QUEUED

    def fail(self, shard_id: int, again: bool) -> None:
        shard = self.shards[shard_id]
        job = self.jobs[shard.job_id]
        shard.sent_at, shard.failed_with = None, True
        if job.cancel_requested:
            shard.leave(ShardState.CANCELLED)
            self._end_if_cancelled(job)
        elif not again or shard.attempt == MAX_ATTEMPTS:
            shard.leave(ShardState.FAILED)
            self._end(job, JobState.FAILED)
        else:
            shard.leave(ShardState.QUEUED)

    def pause(self, shard_id: int, work_done: int) -> None:
        shard = self.shards[shard_id]
        if self.jobs[shard.job_id].cancel_requested:
            self.confirm_cancelled(shard_id)
            return
        shard.leave(ShardState.QUEUED)
        shard.attempt -= 1
        shard.sent_at, shard.paused = None, True
        shard.work_done = min(work_done, shard.work_total)

    def confirm_cancelled(self, shard_id: int) -> None:
        shard = self.shards[shard_id]
        shard.leave(ShardState.CANCELLED)
        self._end_if_cancelled(self.jobs[shard.job_id])

    def cancel(self, job_id: int) -> None:
        job = self.jobs[job_id]
        if job.state != JobState.CANCELLED:
            job.cancel_requested = True
            for shard in self.of_job(job_id, *IDLE):
                shard.leave(ShardState.CANCELLED)
            self._end_if_cancelled(job)

    def retry(self, job_id: int) -> None:
        job = self.jobs[job_id]
        unfinished = [shard for shard in self.of_job(job_id) if shard.state != ShardState.DONE]
        job.stage = min(shard.stage for shard in unfinished)
        for shard in unfinished:
            shard.leave(ShardState.QUEUED if shard.stage == job.stage else ShardState.WAITING)
            shard.attempt = shard.work_done = 0
            shard.sent_at = shard.worker = None
            shard.begun = shard.failed_with = shard.paused = False
        job.state, job.cancel_requested, job.failed_with, job.ended = JobState.QUEUED, False, False, False

    def sweep(self, now: float, failed: Iterable[int]) -> None:
        """Model a sweep. ``failed`` has the shard that failed of each job with several exhausted shards: the one
        that the ledger reached first, in an undefined order."""
        for shard in (expired := self.expired(now)):
            self._take_back(shard)
        for job in {shard.job_id: self.jobs[shard.job_id] for shard in expired}.values():
            mine = [shard for shard in expired if shard.job_id == job.id]
            exhausted = [shard for shard in mine if shard.attempt == MAX_ATTEMPTS]
            if exhausted and not job.cancel_requested:
                (first,) = [shard for shard in exhausted if shard.id in failed]
                for shard in exhausted:
                    shard.leave(ShardState.FAILED if shard is first else ShardState.CANCELLED)
                first.failed_with = True
                self._end(job, JobState.FAILED)
            self._end_if_cancelled(job)

    def worker_gone(self, name: str) -> None:
        self.seen.pop(name, None)
        for shard in self.of_state(ShardState.RUNNING):
            if shard.worker == name:
                shard.attempt -= 1
                self._take_back(shard)
        for job in self.jobs.values():
            self._end_if_cancelled(job)

    def _take_back(self, shard: ShardModel) -> None:
        shard.leave(ShardState.CANCELLED if self.jobs[shard.job_id].cancel_requested else ShardState.QUEUED)
        shard.sent_at = None

    def _end(self, job: JobModel, state: str) -> None:
        job.state, job.ended, job.failed_with = state, True, state == JobState.FAILED
        for shard in self.of_job(job.id, *IDLE, ShardState.RUNNING):
            shard.leave(ShardState.CANCELLED)

    def _end_if_cancelled(self, job: JobModel) -> None:
        if job.active and job.cancel_requested and not self.of_job(job.id, ShardState.RUNNING):
            self._end(job, JobState.CANCELLED)

    def take_unsent(self, limit: int, now: float) -> list[tuple[int, str]]:
        taken = [self.shards[shard_id] for shard_id in self.due()[:limit]]
        for shard in taken:
            shard.sent_at = now
        return [(shard.id, shard.queue) for shard in taken]

    def mark_unsent(self, shard_ids: Sequence[int]) -> None:
        for shard in self.of_state(ShardState.QUEUED):
            if shard.id in shard_ids:
                shard.sent_at = None

    def mark_lost(self, queue: str, seconds: float, now: float) -> int:
        lost = [
            shard
            for shard in self.of_state(ShardState.QUEUED)
            if shard.queue == queue and shard.sent_at is not None and shard.sent_at < now - seconds
        ]
        for shard in lost:
            shard.sent_at = None
        return len(lost)

    # --- invariants ---

    def check(self) -> None:
        """Check the invariants, which do not depend on the transitions above."""
        for job in self.jobs.values():
            self._check_job(job, self.of_job(job.id))
        assert self.results == sorted(shard.id for shard in self.of_state(ShardState.DONE))

    @staticmethod
    def _check_job(job: JobModel, shards: Sequence[ShardModel]) -> None:
        states = {shard.state for shard in shards}
        assert job.shards_total == len(shards)
        assert job.shards_left == sum(shard.state != ShardState.DONE for shard in shards)
        assert (job.state == JobState.DONE) == (states == {ShardState.DONE})
        assert (job.state == JobState.FAILED) == (ShardState.FAILED in states)
        assert job.failed_with == (job.state == JobState.FAILED)
        assert job.ended == (not job.active)
        for shard in shards:
            earlier = [other for other in shards if other.stage < shard.stage]
            assert shard.state not in BEGUN or all(other.state == ShardState.DONE for other in earlier)
            assert shard.state != ShardState.WAITING or shard.stage > job.stage
            assert 0 <= shard.attempt <= MAX_ATTEMPTS
            assert (shard.token is not None) == (shard.state == ShardState.RUNNING)
            assert (shard.lease_until is not None) == (shard.state == ShardState.RUNNING)
            assert shard.ended == (shard.state in OVER)
            assert not shard.paused or shard.state in (ShardState.QUEUED, ShardState.CANCELLED)
            assert shard.state != ShardState.FAILED or shard.failed_with
        if job.active:  # the job can make progress
            assert states & {ShardState.QUEUED, ShardState.RUNNING}
            assert not job.cancel_requested or ShardState.RUNNING in states
        else:  # no shard is left to work on
            assert not states & {*IDLE, ShardState.RUNNING}
