"""The ledger: the transitions of jobs and shards, each in one transaction. Their common steps are in
``shared.jobs.transitions``.

The database is the record of all work; a message only carries the id of a shard that may be due. Messages may be
delivered twice, late or never: a worker owns a shard only through a claim, and can write only with its token.
"""

from __future__ import annotations

import secrets
from collections import Counter as Counting
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, case, delete, exists, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared.database.base import utc_now
from shared.database.connection import Database, database_now
from shared.errors import JobStateConflict
from shared.jobs.counters import completion, raise_counter, raise_counters
from shared.jobs.hosts import (
    HOSTS_WITHOUT_DATA,
    alive,
    has_other_hosts,
    host_of,
    hosts_without_data,
    leave_to_others,
)
from shared.jobs.precedence import Taker, job_before, job_instead, may_continue, precedence, takeable_shard
from shared.jobs.priority import priority_label
from shared.jobs.retrying import queue_again
from shared.jobs.tables import ACTIVE_JOBS, Job, JobState, Shard, ShardState, Worker
from shared.jobs.transitions import (
    MAX_ATTEMPTS,
    add_event,
    end_if_cancelled,
    end_job,
    find_and_lock_job,
    insert_job,
    lock_job,
    open_next_stage,
    reclaim,
    set_sent_at,
    stop_idle_shards,
)
from shared.kinds.specification import Specification

LARGEST_ID = 2**31 - 1
# In a shard's payload: work that its attempt found done, and how long its attempts took that ended in a pause.
RESUMED, SECONDS_BEFORE = "resumed", "seconds_before"


class LeaseLost(Exception):
    """The claim's token is no longer valid: the shard was reclaimed, or its job has ended. Nothing was written."""


class LeftToOthers(Exception):
    """This machine has handed the shard back, and a worker of another machine may be able to run it."""


class ContinuedElsewhere(LeftToOthers):
    """The shard has paused, and workers on the machine and kind of device that began it are alive."""


@dataclass(frozen=True)
class Claim:
    """A worker's ownership of a shard, which lasts for as long as it extends the lease."""

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
    """Transitions on one database. A lease expires ``lease_seconds`` after it was last extended."""

    def __init__(self, database: Database, lease_seconds: float = 30.0) -> None:
        self.database = database
        self.lease_seconds = lease_seconds

    # --- submitting ---

    def submit(
        self,
        specification: Specification,
        *,
        force: bool = False,
        priority: int = 0,
        also: Callable[[Session, int], None] | None = None,
    ) -> tuple[int, bool]:
        """Insert a job with all its shards, unless a job with the same key exists and ``force`` is false.

        ``also(session, job_id)`` inserts further rows of a new job in the same transaction.
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
            planned = specification.plan()  # before the transaction: slow for 100,000 shards
            try:
                with self.database.write() as session:
                    job_id = insert_job(session, specification, planned, generation, priority)
                    if also:
                        also(session, job_id)
                    return job_id, True
            except IntegrityError:  # the same specification was submitted concurrently, or ``also`` is at fault
                with self.database.read() as session:
                    if not session.scalar(
                        select(
                            exists().where(Job.key == key, Job.generation > (newest.generation if newest else -1))
                        )
                    ):
                        raise

    def find(self, specification: Specification) -> int | None:
        """Return the id of the newest job with this specification's key, or None."""
        with self.database.read() as session:
            same = select(Job.id).where(Job.key == specification.key())
            return session.scalar(same.order_by(Job.generation.desc()).limit(1))

    def set_priority(self, job_id: int, priority: int) -> None:
        """Change the priority of a job that is not done.

        Raises
        ------
        NoSuchJob, JobStateConflict
        """
        with self.database.write() as session:
            job = lock_job(session, job_id)
            if job.state == JobState.DONE:
                raise JobStateConflict(job_id=job_id, state=job.state, action="given a priority")
            job.priority = priority
            add_event(session, job_id, None, "info", f"priority: {priority_label(priority)}")

    # --- working ---

    def claim(
        self,
        shard_id: int,
        worker: str,
        *,
        has_data: bool = True,
        queues: Collection[str] = (),
        missing: Collection[int] = (),
    ) -> Claim | None:
        """Claim the shard for ``worker``, or one that goes before it: see ``shared.jobs.precedence``.

        Return None if it is not queued and its lease has not expired, if no attempts are left, or if its job has
        ended or is being cancelled.

        A single conditional UPDATE increments the attempt counter and sets the lease and the token.

        Parameters
        ----------
        has_data
            whether the worker's machine can read the images of the shard's data set.
        queues, missing
            the queues that the worker serves, and data sets that its machine can't read: see ``Taker``.

        Raises
        ------
        LeftToOthers
            see ``hand_back`` and ``may_continue``. The shard's message is due again.
        """
        if not 0 < shard_id <= LARGEST_ID:  # the content of messages is not trusted
            return None
        taker = Taker(worker, queues, missing)
        while True:
            with self.database.write() as session:
                shard = session.execute(precedence(shard_id)).one_or_none()
                if shard is None:
                    return None
                first = None
                if shard.state == ShardState.QUEUED and queues:
                    first = job_instead(session, taker, shard)
                if first is None:
                    claim = self._claim_or_leave(session, shard_id, shard, worker, has_data=has_data)
                    break
                if claim := self._claim_of_job(session, first, taker):
                    self._unsend(session, shard_id)
                    break
        if isinstance(claim, LeftToOthers):
            raise claim
        return claim

    def first(self, shard_id: int, taker: Taker) -> int:
        """Return the shard that ``claim`` would claim on a message of ``shard_id``, as far as is known."""
        if not taker.queues or not 0 < shard_id <= LARGEST_ID:
            return shard_id
        with self.database.read() as session:
            shard = session.execute(precedence(shard_id)).one_or_none()
            if shard is None or shard.state != ShardState.QUEUED:
                return shard_id
            job = job_instead(session, taker, shard)
            return (job and session.scalar(takeable_shard(job, taker))) or shard_id

    def _unsend(self, session: Session, shard_id: int) -> None:
        """Mark the message of a queued shard as due again: it was received by a worker that doesn't run it now."""
        set_sent_at(session, select(Shard.id).where(Shard.id == shard_id, Shard.state == ShardState.QUEUED), None)

    def _claim_of_job(self, session: Session, job_id: int, taker: Taker) -> Claim | None:
        """Claim a queued shard of a job; return None if none is left."""
        if find_and_lock_job(session, job_id) is None:
            return None
        shard_id = session.scalar(takeable_shard(job_id, taker))
        if shard_id is None:
            return None
        stage = session.scalars(select(Shard.stage_name).where(Shard.id == shard_id)).one()
        return self._claim(session, shard_id, job_id, stage, taker.worker)

    def _claim_or_leave(
        self, session: Session, shard_id: int, shard: Any, worker: str, *, has_data: bool
    ) -> Claim | LeftToOthers | None:
        """Claim a shard, unless it is queued and left to other workers: then its message is due again."""
        host, without = host_of(worker), hosts_without_data(shard.payload)
        without |= set() if has_data else {host}
        if shard.state == ShardState.QUEUED:
            if not may_continue(session, worker, shard):
                self._unsend(session, shard_id)
                return ContinuedElsewhere(f"shard {shard_id} is left to the machine and device of {shard.worker}")
            if host in without and has_other_hosts(session, shard.queue, without):
                leave_to_others(session, shard_id, without)
                reason = f"its images can't be read on {host}"
                return LeftToOthers(f"shard {shard_id} is left to other machines: {reason}")
        return self._claim(session, shard_id, shard.job_id, shard.stage_name, worker)

    def _claim(self, session: Session, shard_id: int, job_id: int, stage: str, worker: str) -> Claim | None:
        token = secrets.token_hex(16)
        job = find_and_lock_job(session, job_id)
        if job is None:  # removed concurrently
            return None
        previous_state = session.scalar(select(Shard.state).where(Shard.id == shard_id))
        if job.state not in ACTIVE_JOBS or job.cancel_requested:
            raise_counter(session, "messages_ignored", job.kind, stage)
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
                # Work before a pause is resumed, and stays in view until then.
                work_done=case((Shard.paused_until.is_not(None), Shard.work_done), else_=0),
                paused_until=None,
                started_at=utc_now(),
                finished_at=None,
                error=None,
            )
            .returning(Shard.stage_name, Shard.payload, Shard.attempt, Shard.work_total)
            .execution_options(synchronize_session=False)
        ).one_or_none()
        if row is None:
            raise_counter(session, "messages_ignored", job.kind, stage)
            return None
        job.state = JobState.RUNNING
        job.started_at = job.started_at or utc_now()
        add_event(
            session,
            job.id,
            shard_id,
            "info",
            f"{row.stage_name}: attempt {row.attempt} begins on {worker}",
        )
        if previous_state == ShardState.RUNNING:
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
        """Extend the lease and record the progress; return whether a cancel was requested.

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
        """Record the work of an earlier attempt from which this one resumes; it is excluded from the speed.

        Raises
        ------
        LeaseLost
        """
        with self.database.write() as session:
            self._fence(session, claim, work_done=work_done, payload={**claim.payload, RESUMED: work_done})

    def record(self, claim: Claim, write: Callable[[Session], None], *, locks_job: bool = False) -> None:
        """Write intermediate results (an epoch, a checkpoint) and extend the lease.

        Parameters
        ----------
        locks_job
            ``write`` changes the job's row, which has to be locked before the shard's. Without it, other shards of
            the job can write at the same time.

        Raises
        ------
        LeaseLost
        """
        with self.database.write() as session:
            if locks_job:
                self._lock_claimed(session, claim)
            self._fence(session, claim, lease_until=database_now() + self.lease_seconds)
            write(session)

    def complete(
        self,
        claim: Claim,
        write: Callable[[Session], None] | None = None,
        result_path: str | None = None,
    ) -> None:
        """Write the results, mark the shard done and decrement the job's ``shards_left``, in one transaction.

        The last shard of a stage queues the next stage; the last shard of the job ends the job.

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
            add_event(session, job.id, claim.shard_id, "info", f"{claim.stage_name}: done")
            session.flush()
            if job.shards_left == 0:
                job.state = JobState.DONE
                job.finished_at = utc_now()
                add_event(session, job.id, None, "info", "job done")
            elif job.cancel_requested:  # the worker finished before it saw the cancel request
                end_if_cancelled(session, job)
            else:
                open_next_stage(session, job)
            session.flush()
            seconds = claim.payload.get(SECONDS_BEFORE, 0.0) + _seconds_since(began)
            raise_counters(session, claim.kind, claim.stage_name, completion(seconds, claim.work_total))

    def fail(self, claim: Claim, error: str, *, again: bool) -> None:
        """Record a failed attempt: queue the shard again if ``again`` and attempts are left, else fail the job.

        If a cancel was requested, the shard is cancelled instead, whatever the error and the attempt. Its row and
        the job's log keep the error.

        Raises
        ------
        LeaseLost
        """
        with self.database.write() as session:
            job = self._lock_claimed(session, claim)
            self._end_attempt(session, job, claim, error, again=again and claim.attempt < MAX_ATTEMPTS)

    def hand_back(self, claim: Claim, error: str, worker: str, *, again_here: bool = True) -> None:
        """Queue a shard again whose images or artifacts can't be read or written on the worker's machine.

        The machine's workers leave the shard to those of other machines, and the attempt is not counted. If no
        other machine is left that has not handed it back, the attempt is counted; the job fails after the last
        one, or without another one if ``again_here`` is false.

        Raises
        ------
        LeaseLost
        """
        without = hosts_without_data(claim.payload) | {host_of(worker)}
        with self.database.write() as session:
            job = self._lock_claimed(session, claim)
            shard = session.execute(select(Shard.queue, Shard.payload).where(Shard.id == claim.shard_id)).one()
            others = has_other_hosts(session, shard.queue, without)
            self._end_attempt(
                session,
                job,
                claim,
                error,
                again=others or (again_here and claim.attempt < MAX_ATTEMPTS),
                attempt=claim.attempt - others,
                payload={**shard.payload, HOSTS_WITHOUT_DATA: sorted(without)},
            )

    def pause(self, claim: Claim, work_done: int, seconds: float, reason: str) -> None:
        """Queue a shard again whose state was saved, so that others run before it, for up to ``seconds``.

        The attempt is not counted, and ``work_done`` stays in view. The next attempt resumes it. If a cancel was
        requested, the shard is cancelled.

        Raises
        ------
        LeaseLost
        """
        with self.database.write() as session:
            job = self._lock_claimed(session, claim)
            if job.cancel_requested:
                self._cancelled(session, job, claim)
                return
            work_done = min(work_done, claim.work_total)
            # Not the claim's payload: images that were left out meanwhile are in the row's.
            shard = session.execute(
                select(Shard.started_at, Shard.payload).where(Shard.id == claim.shard_id)
            ).one()
            seconds_before = shard.payload.get(SECONDS_BEFORE, 0.0) + _seconds_since(shard.started_at or utc_now())
            self._fence(
                session,
                claim,
                state=ShardState.QUEUED,
                token=None,
                lease_until=None,
                sent_at=None,
                attempt=claim.attempt - 1,
                work_done=work_done,
                payload={**shard.payload, RESUMED: work_done, SECONDS_BEFORE: seconds_before},
                paused_until=database_now() + seconds,
            )
            add_event(session, job.id, claim.shard_id, "info", f"{claim.stage_name}: pauses, {reason}")

    def work_before(self, claim: Claim, taker: Taker, *, slice_is_over: bool) -> int | None:
        """Return a job that waits and goes before a running shard: one of higher priority or, if the shard's time
        slice is over, of the same priority in another of the worker's queues."""
        with self.database.read() as session:
            shard = session.execute(precedence(claim.shard_id)).one_or_none()
            if shard is None:
                return None
            return job_before(session, taker, shard.queue, shard.priority, paused=slice_is_over)

    def _end_attempt(
        self, session: Session, job: Job, claim: Claim, error: str, *, again: bool, **values: Any
    ) -> None:
        """Queue the shard again, or fail it and its job; if a cancel was requested, cancel it."""
        if job.cancel_requested:  # as in ``reclaim``
            state = ShardState.CANCELLED
        else:
            state = ShardState.QUEUED if again else ShardState.FAILED
        self._fence(
            session,
            claim,
            state=state,
            token=None,
            lease_until=None,
            sent_at=None,
            error=error,
            finished_at=None if state == ShardState.QUEUED else utc_now(),
            **values,
        )
        add_event(session, job.id, claim.shard_id, "error", error)
        if state == ShardState.FAILED:
            end_job(session, job, JobState.FAILED, error)
        else:
            end_if_cancelled(session, job)
        session.flush()
        raise_counter(session, "attempts_failed", claim.kind, claim.stage_name)

    def confirm_cancelled(self, claim: Claim) -> None:
        """Mark the shard cancelled after its worker stopped because of a cancel request.

        Raises
        ------
        LeaseLost
        """
        with self.database.write() as session:
            self._cancelled(session, self._lock_claimed(session, claim), claim)

    def _cancelled(self, session: Session, job: Job, claim: Claim) -> None:
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
        job = find_and_lock_job(session, claim.job_id)
        if job is None:  # removed after it was cancelled
            raise LeaseLost(f"shard {claim.shard_id}: its job was removed")
        return job

    def _fence(self, session: Session, claim: Claim, **values: Any) -> datetime:
        """Update the shard's row if the claim's token is still valid; return the time when the attempt began."""
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

    def count_refused_write(self, claim: Claim) -> None:
        """Count a write that was refused because its worker had lost the lease."""
        with self.database.write() as session:
            raise_counter(session, "late_writes_refused", claim.kind, claim.stage_name)

    # --- cancelling and retrying ---

    def cancel(self, job_id: int) -> str:
        """Request that the job be cancelled; return its state, ``running`` until its workers have stopped.

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
            add_event(session, job_id, None, "info", "cancel requested")
            stop_idle_shards(session, job_id)
            end_if_cancelled(session, job)
            return job.state

    def retry(self, job_id: int) -> None:
        """Queue the unfinished shards of a failed or cancelled job again; done shards stay done.

        Shards that left out images are queued again as well, also those of a done job, with all shards of later
        stages. Their new attempts replace the rows.

        Raises
        ------
        NoSuchJob, JobStateConflict, NotRepeatable
        """
        with self.database.write() as session:
            queue_again(session, lock_job(session, job_id))

    # --- sweeping ---

    def sweep(self) -> int:
        """Reclaim the shards whose lease has expired; return their number.

        A shard with no attempts left fails, and its job with it. Several sweepers may run concurrently.
        """
        swept = 0
        expired = and_(Shard.state == ShardState.RUNNING, Shard.lease_until < database_now())
        with self.database.read() as session:
            jobs = session.scalars(select(Shard.job_id).where(expired, _of_active_job()).distinct()).all()
        for job_id in jobs:
            with self.database.write() as session:
                job = find_and_lock_job(session, job_id)
                if job is None:  # cancelled and removed concurrently
                    continue
                shards = session.scalars(
                    select(Shard).where(expired, Shard.job_id == job_id).with_for_update()
                ).all()
                for shard in shards:
                    attempt = f"attempt {shard.attempt} of {MAX_ATTEMPTS}"
                    reclaim(session, job, shard, f"worker {shard.worker} stopped responding in {attempt}")
                session.flush()
                for stage, count in sorted(Counting(shard.stage_name for shard in shards).items()):
                    raise_counter(session, "leases_lost", job.kind, stage, count)
                swept += len(shards)
        return swept

    def take_unsent(self, limit: int = 1000) -> Sequence[tuple[int, str]]:
        """Mark up to ``limit`` queued shards whose message is due as sent; return their (shard id, queue)."""
        with self.database.write() as session:
            due = select(Shard.id).where(
                Shard.state == ShardState.QUEUED, Shard.sent_at.is_(None), _of_active_job()
            )
            # Ordering by sent_at, which is NULL in all rows, lets the database use the index.
            due = due.order_by(Shard.sent_at, Shard.id).limit(limit)
            rows = set_sent_at(session, due, database_now())
        return sorted((row.id, row.queue) for row in rows)

    def mark_unsent(self, shard_ids: Sequence[int]) -> None:
        """Mark shards whose message could not be sent, so that it is due again."""
        with self.database.write() as session:
            query = select(Shard.id).where(Shard.id.in_(shard_ids), Shard.state == ShardState.QUEUED)
            set_sent_at(session, query, None)

    def mark_lost(self, queues: Collection[str], seconds: float) -> int:
        """Mark the messages of empty queues as due again if they were sent more than ``seconds`` ago and their
        shards are still unclaimed; return their number."""
        with self.database.write() as session:
            query = select(Shard.id).where(
                Shard.state == ShardState.QUEUED,
                Shard.queue.in_(queues),
                Shard.sent_at < database_now() - seconds,
                _of_active_job(),
            )
            return len(set_sent_at(session, query, None))

    # --- workers ---

    def worker_seen(
        self,
        name: str,
        device: str,
        queues: Sequence[str],
        pid: int,
        *,
        seconds_ago: float = 0.0,
        memory: tuple[int, int] | None = None,
    ) -> None:
        """Record that a worker process gave a sign of life ``seconds_ago``; ``memory`` is what is used of its
        device's memory, and all of it, in bytes."""
        with self.database.write() as session:
            worker = session.get(Worker, name) or Worker(name=name)
            worker.device, worker.queues, worker.pid = device, list(queues), pid
            worker.memory_used, worker.memory_total = memory or (None, None)
            worker.seen_at = session.scalars(select(database_now())).one() - seconds_ago
            session.add(worker)

    def worker_gone(self, name: str) -> None:
        """Record that a worker process was stopped deliberately: its shards are queued again at once, and the
        attempt is not counted. Call it only when the process has exited."""
        with self.database.write() as session:
            session.execute(delete(Worker).where(Worker.name == name))
        self._reclaim_from(Shard.worker == name, None)

    def worker_died(self, name: str, cause: str, at: datetime) -> None:
        """Record that a worker's process died at a time: the shards that it had begun before are queued again at
        once, or fail if no attempts are left. ``cause`` completes a sentence: ``was killed by ...``."""
        self._reclaim_from(and_(Shard.worker == name, Shard.started_at <= at), cause)

    def _reclaim_from(self, worker: ColumnElement[bool], cause: str | None) -> None:
        """Reclaim the running shards of a worker; without a cause, their attempts are not counted."""
        held = and_(Shard.state == ShardState.RUNNING, worker)
        with self.database.read() as session:
            jobs = session.scalars(select(Shard.job_id).where(held).distinct()).all()
        for job_id in jobs:
            with self.database.write() as session:
                job = find_and_lock_job(session, job_id)
                if job is None:  # cancelled and removed concurrently
                    continue
                query = select(Shard).where(held, Shard.job_id == job_id).with_for_update()
                shards = session.scalars(query).all()
                for shard in shards:
                    if cause is None:
                        shard.attempt -= 1
                        reclaim(session, job, shard, f"worker {shard.worker} was stopped")
                    else:
                        attempt = f"attempt {shard.attempt} of {MAX_ATTEMPTS}"
                        reclaim(session, job, shard, f"the process of worker {shard.worker} {cause}, in {attempt}")
                session.flush()
                for stage, count in sorted(Counting(shard.stage_name for shard in shards if cause).items()):
                    raise_counter(session, "attempts_failed", job.kind, stage, count)

    def live_workers(self) -> Sequence[Worker]:
        """Return the worker processes seen in the last ``WORKER_ALIVE_SECONDS``."""
        with self.database.read() as session:
            return session.scalars(select(Worker).where(alive()).order_by(Worker.name)).all()


def _seconds_since(began: datetime) -> float:
    """Return the seconds since an attempt began, by the clock of its worker."""
    return max(0.0, (utc_now() - began).total_seconds())


def _of_active_job() -> ColumnElement[bool]:
    """Return the condition that a shard belongs to a job that is queued or running."""
    return exists().where(Job.id == Shard.job_id, Job.state.in_(ACTIVE_JOBS))


def log(database: Database, job_id: int, shard_id: int | None, level: str, message: str) -> None:
    """Add an event to a job's log."""
    with database.write() as session:
        add_event(session, job_id, shard_id, level, message)
