"""The ledger: every transition of jobs and shards, each one transaction. What they have in common is in
``shared.jobs.transitions``.

The database is the record of work; a message is a hint that carries a shard's id. Messages may come twice,
late or never: a claim is what gives a shard to a worker, and only the claim's token lets it write.
"""

from __future__ import annotations

import secrets
from collections import Counter as Counting
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, delete, exists, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared.database.base import utc_now
from shared.database.connection import Database, database_now
from shared.errors import JobStateConflict, NoSuchJob
from shared.jobs.tables import ACTIVE_JOBS, Job, JobState, Shard, ShardState, Worker
from shared.jobs.transitions import (
    MAX_ATTEMPTS,
    end_if_cancelled,
    end_job,
    insert_job,
    lock_job,
    note,
    open_next_stage,
    raise_counter,
    set_sent_at,
    stop_idle_shards,
    take_back,
)
from shared.kinds.specification import Specification

WORKER_ALIVE_SECONDS = 30.0
LARGEST_ID = 2**31 - 1
RETRY_REQUESTED = "retry requested"
RESUMED = "resumed"  # in a shard's payload: work that its attempt found done


class LeaseLost(Exception):
    """Another worker has the shard by now, or its job is over: nothing may be written."""


@dataclass(frozen=True)
class Claim:
    """A shard that a worker holds, for as long as it extends the lease."""

    shard_id: int
    job_id: int
    kind: str
    specification: dict[str, Any]
    stage_name: str
    payload: dict[str, Any]
    attempt: int
    work_total: int
    token: str


class Ledger:
    """Transitions on one database. ``lease_seconds`` is how long a silent worker keeps its shard."""

    def __init__(self, database: Database, lease_seconds: float = 30.0) -> None:
        self.database = database
        self.lease_seconds = lease_seconds

    # --- asking ---

    def submit(
        self,
        specification: Specification,
        *,
        force: bool = False,
        also: Callable[[Session, int], None] | None = None,
    ) -> tuple[int, bool]:
        """Record a job with all its shards; the same specification again gives the job that exists.

        ``also(session, job_id)`` writes what belongs to a new job, in the same transaction.
        Returns the job's id and whether it is new.
        """
        key = specification.key()
        while True:
            with self.database.read() as session:
                newest = session.scalars(
                    select(Job).where(Job.key == key).order_by(Job.generation.desc()).limit(1)
                ).first()
            if newest and not force:
                return newest.id, False
            generation = newest.generation + 1 if newest else 0
            planned = specification.plan()  # before the transaction: of 100,000 shards it takes a while
            try:
                with self.database.write() as session:
                    job_id = insert_job(session, specification, planned, generation)
                    if also:
                        also(session, job_id)
                    return job_id, True
            except IntegrityError:  # somebody submitted the same a moment ago
                with self.database.read() as session:
                    if not session.scalar(
                        select(
                            exists().where(Job.key == key, Job.generation > (newest.generation if newest else -1))
                        )
                    ):
                        raise

    # --- doing ---

    def claim(self, shard_id: int, worker: str) -> Claim | None:
        """Give the shard to ``worker``, unless somebody holds it, it is over, or has had its attempts.

        One conditional UPDATE: it raises the attempt counter and sets lease and token.
        """
        if not 0 < shard_id <= LARGEST_ID:  # a message can hold anything
            return None
        token = secrets.token_hex(16)
        with self.database.write() as session:
            found = session.execute(
                select(Shard.job_id, Shard.stage_name).where(Shard.id == shard_id)
            ).one_or_none()
            if found is None:
                return None
            try:
                job = lock_job(session, found.job_id)
            except NoSuchJob:  # removed at this moment
                return None
            was = session.scalar(select(Shard.state).where(Shard.id == shard_id))
            if job.state not in ACTIVE_JOBS or job.cancel_requested:
                raise_counter(session, "messages_ignored", job.kind, found.stage_name)
                return None
            expired = and_(Shard.state == ShardState.RUNNING, Shard.lease_until < database_now())
            row = session.execute(
                update(Shard)
                .where(
                    Shard.id == shard_id,
                    or_(Shard.state == ShardState.QUEUED, expired),
                    Shard.attempt < MAX_ATTEMPTS,
                )
                .values(
                    state=ShardState.RUNNING,
                    attempt=Shard.attempt + 1,
                    token=token,
                    lease_until=database_now() + self.lease_seconds,
                    worker=worker,
                    work_done=0,
                    started_at=utc_now(),
                    finished_at=None,
                    error=None,
                )
                .returning(Shard.stage_name, Shard.payload, Shard.attempt, Shard.work_total)
                .execution_options(synchronize_session=False)
            ).one_or_none()
            if row is None:
                raise_counter(session, "messages_ignored", job.kind, found.stage_name)
                return None
            job.state = JobState.RUNNING
            job.started_at = job.started_at or utc_now()
            note(
                session,
                job.id,
                shard_id,
                "info",
                f"{row.stage_name}: attempt {row.attempt} begins on {worker}",
            )
            if was == ShardState.RUNNING:
                session.flush()
                raise_counter(session, "leases_lost", job.kind, row.stage_name)
            return Claim(
                shard_id,
                job.id,
                job.kind,
                job.specification,
                row.stage_name,
                row.payload,
                row.attempt,
                row.work_total,
                token,
            )

    def heartbeat(self, claim: Claim, work_done: int) -> bool:
        """Extend the lease and note the progress; returns whether the job is to be cancelled.

        Raises
        ------
        LeaseLost
        """
        with self.database.write() as session:
            self._fence(
                session,
                claim,
                lease_until=database_now() + self.lease_seconds,
                work_done=min(work_done, claim.work_total),
            )
            return bool(session.scalar(select(Job.cancel_requested).where(Job.id == claim.job_id)))

    def resume(self, claim: Claim, work_done: int) -> None:
        """Note the work that an earlier attempt did and this one goes on from: it tells nothing of the speed.

        Raises
        ------
        LeaseLost
        """
        with self.database.write() as session:
            self._fence(session, claim, work_done=work_done, payload={**claim.payload, RESUMED: work_done})

    def record(self, claim: Claim, write: Callable[[Session], None]) -> None:
        """Write something on the way (an epoch, a checkpoint), only while the claim holds.

        Raises
        ------
        LeaseLost
        """
        with self.database.write() as session:
            self._fence(session, claim, lease_until=database_now() + self.lease_seconds)
            write(session)

    def complete(
        self,
        claim: Claim,
        write: Callable[[Session], None] | None = None,
        result_path: str | None = None,
    ) -> None:
        """Write the results, mark the shard done and count it off its job, in one transaction.

        The stage's last shard opens the next stage; the job's last shard ends the job.

        Raises
        ------
        LeaseLost
        """
        with self.database.write() as session:
            job = self._lock_claimed(session, claim)
            began = self._fence(
                session,
                claim,
                state=ShardState.DONE,
                token=None,
                lease_until=None,
                work_done=claim.work_total,
                result_path=result_path,
                finished_at=utc_now(),
            )
            if write:
                write(session)
            job.shards_left -= 1
            note(session, job.id, claim.shard_id, "info", f"{claim.stage_name}: done")
            session.flush()
            if job.shards_left == 0:
                job.state = JobState.DONE
                job.finished_at = utc_now()
                note(session, job.id, None, "info", "job done")
            elif job.cancel_requested:  # the worker was done before it noticed
                end_if_cancelled(session, job)
            else:
                open_next_stage(session, job)
            session.flush()
            seconds = max(0.0, (utc_now() - began).total_seconds())
            raise_counter(session, "shards_done", claim.kind, claim.stage_name)
            raise_counter(session, "shard_seconds", claim.kind, claim.stage_name, seconds)
            raise_counter(session, "work_done", claim.kind, claim.stage_name, claim.work_total)

    def fail(self, claim: Claim, error: str, *, again: bool) -> None:
        """The attempt failed: queue the shard again if ``again`` and attempts are left, else fail the job.

        A job that is being cancelled ends as cancelled, whatever the error and the attempt; the shard keeps the
        error, and the log has it.

        Raises
        ------
        LeaseLost
        """
        with self.database.write() as session:
            job = self._lock_claimed(session, claim)
            if job.cancel_requested:  # as in ``take_back``, for a worker that is gone
                state = ShardState.CANCELLED
            else:
                state = ShardState.QUEUED if again and claim.attempt < MAX_ATTEMPTS else ShardState.FAILED
            self._fence(
                session,
                claim,
                state=state,
                token=None,
                lease_until=None,
                sent_at=None,
                error=error,
                finished_at=None if state == ShardState.QUEUED else utc_now(),
            )
            note(session, job.id, claim.shard_id, "error", error)
            if state == ShardState.FAILED:
                end_job(session, job, JobState.FAILED, error)
            else:
                end_if_cancelled(session, job)
            session.flush()
            raise_counter(session, "attempts_failed", claim.kind, claim.stage_name)

    def confirm_cancelled(self, claim: Claim) -> None:
        """The worker has stopped on a cancel request.

        Raises
        ------
        LeaseLost
        """
        with self.database.write() as session:
            job = self._lock_claimed(session, claim)
            self._fence(
                session,
                claim,
                state=ShardState.CANCELLED,
                token=None,
                lease_until=None,
                finished_at=utc_now(),
            )
            end_if_cancelled(session, job)

    def _lock_claimed(self, session: Session, claim: Claim) -> Job:
        try:
            return lock_job(session, claim.job_id)
        except NoSuchJob as error:  # removed after it was cancelled
            raise LeaseLost(f"shard {claim.shard_id}: {error}") from error

    def _fence(self, session: Session, claim: Claim, **values: Any) -> datetime:
        """Change the shard's row, only with the claim's token; returns when the attempt began."""
        changed = session.execute(
            update(Shard)
            .where(Shard.id == claim.shard_id, Shard.token == claim.token, Shard.state == ShardState.RUNNING)
            .values(**values)
            .returning(Shard.started_at)
            .execution_options(synchronize_session=False)
        ).first()
        if changed is None:
            raise LeaseLost(f"shard {claim.shard_id}, attempt {claim.attempt}")
        began: datetime = changed.started_at
        return began

    def late_write_refused(self, claim: Claim) -> None:
        """Count a worker that came back when another had its shard."""
        with self.database.write() as session:
            raise_counter(session, "late_writes_refused", claim.kind, claim.stage_name)

    # --- stopping and trying again ---

    def cancel(self, job_id: int) -> str:
        """Ask that the job stop; returns its state: ``running`` while a worker still has to notice.

        Raises
        ------
        NoSuchJob, JobStateConflict
        """
        with self.database.write() as session:
            job = lock_job(session, job_id)
            if job.state == JobState.CANCELLED:
                return job.state
            if job.state not in ACTIVE_JOBS:
                raise JobStateConflict(job_id=job_id, state=job.state, action="cancelled")
            job.cancel_requested = True
            note(session, job_id, None, "info", "cancel requested")
            stop_idle_shards(session, job_id)
            end_if_cancelled(session, job)
            return job.state

    def retry(self, job_id: int) -> None:
        """Queue again what a failed or cancelled job has not done; done shards stay done.

        Raises
        ------
        NoSuchJob, JobStateConflict
        """
        with self.database.write() as session:
            job = lock_job(session, job_id)
            if job.state not in (JobState.FAILED, JobState.CANCELLED):
                raise JobStateConflict(job_id=job_id, state=job.state, action="retried")
            if not job.shards_total:
                raise JobStateConflict(job_id=job_id, state=job.state, action="retried: its removal has begun")
            unfinished = and_(Shard.job_id == job_id, Shard.state != ShardState.DONE)
            stage = session.scalar(select(func.min(Shard.stage)).where(unfinished))
            if stage is None:  # an import that was broken off
                raise JobStateConflict(job_id=job_id, state=job.state, action="retried, having no shards")
            unset = ("token", "lease_until", "sent_at", "error", "worker", "started_at", "finished_at")
            fresh = {"attempt": 0, "work_done": 0, **dict.fromkeys(unset)}
            session.execute(update(Shard).where(unfinished).values(state=ShardState.WAITING, **fresh))
            session.execute(update(Shard).where(unfinished, Shard.stage == stage).values(state=ShardState.QUEUED))
            job.stage = stage
            job.state = JobState.QUEUED
            job.cancel_requested = False
            job.error = job.finished_at = None
            note(session, job_id, None, "info", RETRY_REQUESTED)

    # --- looking after ---

    def sweep(self) -> int:
        """Take back the shards whose lease has run out; returns how many.

        One that has had its attempts fails, with its job. Any number of sweepers may run at once.
        """
        swept = 0
        expired = and_(Shard.state == ShardState.RUNNING, Shard.lease_until < database_now())
        with self.database.read() as session:
            jobs = session.scalars(select(Shard.job_id).where(expired).distinct()).all()
        for job_id in jobs:
            with self.database.write() as session:
                try:
                    job = lock_job(session, job_id)
                except NoSuchJob:  # cancelled and removed at this moment
                    continue
                silent = session.scalars(
                    select(Shard).where(expired, Shard.job_id == job_id).with_for_update()
                ).all()
                for shard in silent:
                    lost = f"worker {shard.worker} fell silent in attempt {shard.attempt} of {MAX_ATTEMPTS}"
                    take_back(session, job, shard, lost)
                session.flush()
                for stage, count in sorted(Counting(shard.stage_name for shard in silent).items()):
                    raise_counter(session, "leases_lost", job.kind, stage, count)
                swept += len(silent)
        return swept

    def take_unsent(self, limit: int = 1000) -> Sequence[tuple[int, str]]:
        """(shard id, queue) of queued shards no message was sent for, now marked as sent."""
        with self.database.write() as session:
            due = select(Shard.id).where(Shard.state == ShardState.QUEUED, Shard.sent_at.is_(None))
            # By sent_at too, which is the same of all, so that an index has them in this order.
            due = due.order_by(Shard.sent_at, Shard.id).limit(limit)
            rows = set_sent_at(session, due, database_now())
        return sorted((row.id, row.queue) for row in rows)

    def mark_unsent(self, shard_ids: Sequence[int]) -> None:
        """These messages were not sent after all."""
        with self.database.write() as session:
            query = select(Shard.id).where(Shard.id.in_(shard_ids), Shard.state == ShardState.QUEUED)
            set_sent_at(session, query, None)

    def mark_lost(self, queue: str, seconds: float) -> int:
        """The queue is empty: what was sent to it ``seconds`` ago and isn't claimed needs another message."""
        with self.database.write() as session:
            query = select(Shard.id).where(
                Shard.state == ShardState.QUEUED,
                Shard.queue == queue,
                Shard.sent_at < database_now() - seconds,
            )
            return len(set_sent_at(session, query, None))

    # --- workers ---

    def worker_seen(self, name: str, device: str, queues: Sequence[str], pid: int) -> None:
        """Note that a worker process is alive."""
        with self.database.write() as session:
            worker = session.get(Worker, name) or Worker(name=name)
            worker.device, worker.queues, worker.pid = device, list(queues), pid
            worker.seen_at = session.scalars(select(database_now())).one()
            session.add(worker)

    def worker_gone(self, name: str) -> None:
        """Note that a worker process was ended in good order: what it held is queued again at once, and the
        attempt doesn't count. Only for a process that is known to be dead."""
        with self.database.write() as session:
            session.execute(delete(Worker).where(Worker.name == name))
        held = and_(Shard.state == ShardState.RUNNING, Shard.worker == name)
        with self.database.read() as session:
            jobs = session.scalars(select(Shard.job_id).where(held).distinct()).all()
        for job_id in jobs:
            with self.database.write() as session:
                job = lock_job(session, job_id)
                query = select(Shard).where(held, Shard.job_id == job_id).with_for_update()
                for shard in session.scalars(query).all():
                    shard.attempt -= 1
                    take_back(session, job, shard, f"worker {name} was stopped")

    def live_workers(self) -> Sequence[Worker]:
        """The worker processes seen a short time ago."""
        with self.database.read() as session:
            recent = Worker.seen_at > database_now() - WORKER_ALIVE_SECONDS
            return session.scalars(select(Worker).where(recent).order_by(Worker.name)).all()


def log(database: Database, job_id: int, shard_id: int | None, level: str, message: str) -> None:
    """Add a line to a job's log."""
    with database.write() as session:
        note(session, job_id, shard_id, level, message)
