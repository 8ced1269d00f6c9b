"""The ledger against random orders of events.

Workers hold several shards at once, die, come back after they have lost their lease, cancel and retry come in
between: after every step the ledger's promises hold. A walk is given by its seed; a failure shows what happened.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from shared.database import Database
from shared.errors import JobStateConflict
from shared.ledger import MAX_ATTEMPTS, Claim, LeaseLost, Ledger
from shared.models import ACTIVE_JOBS, Dataset, Event, Job, JobState, Shard, ShardState
from tests.integration.ledger.helpers import SHA256, dump, top9

OPEN = {ShardState.WAITING, ShardState.QUEUED, ShardState.RUNNING}
BEGUN = {ShardState.QUEUED, ShardState.RUNNING, ShardState.DONE, ShardState.FAILED}
SEEDS = (11, 38, 20, 0, 25, 34, 42, 1)  # of many, those that found the most mistakes put in on purpose
STEPS = 80
LONG_AGO = 1.0


class Walk:
    """``claims`` are all that were ever given: most of them are no longer good."""

    # How likely each event is.
    EVENTS = {  # noqa: RUF012
        "submit": 2, "submit_again": 1, "claim_queued": 20, "claim_any": 6, "heartbeat": 3, "record": 2,
        "complete_held": 10, "complete_any": 4, "fail": 4, "notice_cancel": 3, "die": 6, "plague": 3, "sweep": 4,
        "stop_worker": 1, "send": 2, "sending_failed": 1, "flush": 1, "cancel": 3, "retry": 6,
    }  # fmt: skip

    def __init__(self, ledger: Ledger, seed: int) -> None:
        self.ledger = ledger
        self.seed = seed
        self.random = random.Random(seed)
        self.claims: list[Claim] = []
        self.sent: list[int] = []
        self.submitted = 0
        self.happened: list[str] = []

    def run(self, steps: int) -> None:
        for step in range(steps):
            event = (
                "submit" if step == 0 else self.random.choices(list(self.EVENTS), list(self.EVENTS.values()))[0]
            )
            self.happened.append(event)
            getattr(self, event)()
            self.check()

    def bring_to_an_end(self) -> None:
        """Whatever happened: with workers that work, every job can still be done, in as many rounds as stages."""
        with self.ledger.database.write() as session:
            session.execute(update(Shard).where(Shard.state == "running").values(lease_until=LONG_AGO))
        self.ledger.sweep()
        for job in self.jobs():
            if job.state in (JobState.FAILED, JobState.CANCELLED):
                self.ledger.retry(job.id)
        for _ in range(4):
            self.happened.append("round")
            for shard in self.shards(ShardState.QUEUED):
                claim = self.ledger.claim(shard.id, "good")
                assert claim is not None
                self._complete(claim)
            self.check()
        assert {job.state for job in self.jobs()} == {JobState.DONE}

    # --- what is in the database ---

    def jobs(self) -> list[Job]:
        with self.ledger.database.read() as session:
            return list(session.scalars(select(Job).order_by(Job.id)))

    def shards(self, *states: str) -> list[Shard]:
        query = select(Shard).order_by(Shard.id)
        with self.ledger.database.read() as session:
            return list(session.scalars(query.where(Shard.state.in_(states)) if states else query))

    def a_job(self) -> Job | None:
        jobs = self.jobs()
        return self.random.choice(jobs) if jobs else None

    def a_claim(self) -> Claim | None:
        """One that holds, one whose shard another worker has by now, or any."""
        tokens = {shard.id: shard.token for shard in self.shards(ShardState.RUNNING)}
        held = [claim for claim in self.claims if tokens.get(claim.shard_id) == claim.token]
        taken = [claim for claim in self.claims if claim not in held and claim.shard_id in tokens]
        pools = [pool for pool in (held, held, taken, self.claims) if pool]
        return self.random.choice(self.random.choice(pools)) if pools else None

    def holds(self, claim: Claim) -> bool:
        with self.ledger.database.read() as session:
            return session.get_one(Shard, claim.shard_id).token == claim.token

    def note(self, *details: object) -> None:
        self.happened[-1] += "".join(f" {detail}" for detail in details)

    def with_claim(self, claim: Claim, call: Callable[[], Any]) -> Any:
        """Make the call: without the lease it is refused and nothing is changed."""
        self.note(claim.shard_id, claim.attempt)
        if self.holds(claim):
            return call()
        before = dump(self.ledger)
        with pytest.raises(LeaseLost):
            call()
        assert dump(self.ledger) == before
        return None

    # --- what may happen ---

    def submit(self) -> None:
        if self.submitted < 4:
            self.submitted += 1
            job, new = self.ledger.submit(top9(1, search=self.random.randint(1, 4), seed=self.submitted))
            self.note(job)
            assert new

    def submit_again(self) -> None:
        if job := self.a_job():
            specification = top9(1).model_validate(job.specification)
            force = len(self.jobs()) < 5 and self.random.random() < 0.5
            again, new = self.ledger.submit(specification, force=force)
            assert new == force
            assert again > job.id if new else again >= job.id

    def claim_any(self) -> None:
        """A message, of whatever time; often one of a shard whose worker is silent."""
        if shards := self.expired() or self.shards():
            self._claim(self.random.choice(shards))

    def claim_queued(self) -> None:
        if shards := self.shards(ShardState.QUEUED):
            self._claim(self.random.choice(shards))

    def _claim(self, shard: Shard) -> None:
        job = next(job for job in self.jobs() if job.id == shard.job_id)
        expired = shard.state == ShardState.RUNNING and shard.lease_until == LONG_AGO
        to_be_had = (
            job.state in ACTIVE_JOBS
            and not job.cancel_requested
            and (shard.state == ShardState.QUEUED or expired)
            and shard.attempt < MAX_ATTEMPTS
        )
        self.note(shard.id, to_be_had)
        before = dump(self.ledger)
        claim = self.ledger.claim(shard.id, f"worker-{len(self.claims)}")
        assert (claim is not None) == to_be_had
        if claim is None:
            assert dump(self.ledger) == before
        else:
            assert claim.attempt == shard.attempt + 1
            self.claims.append(claim)

    def heartbeat(self) -> None:
        if claim := self.a_claim():
            cancel = self.with_claim(claim, lambda: self.ledger.heartbeat(claim, self.random.randint(0, 100)))
            if cancel is not None:
                assert cancel is next(job for job in self.jobs() if job.id == claim.job_id).cancel_requested

    def record(self) -> None:
        if claim := self.a_claim():
            row = Event(job_id=claim.job_id, level="info", message="an epoch")
            self.with_claim(claim, lambda: self.ledger.record(claim, lambda session: session.add(row)))

    def complete_any(self) -> None:
        if claim := self.a_claim():
            self._complete(claim)

    def complete_held(self) -> None:
        if held := [claim for claim in self.claims if self.holds(claim)]:
            self._complete(self.random.choice(held))

    def _complete(self, claim: Claim) -> None:
        row = Event(job_id=claim.job_id, shard_id=claim.shard_id, level="result", message="a row")
        self.with_claim(claim, lambda: self.ledger.complete(claim, lambda session: session.add(row)))

    def fail(self) -> None:
        if claim := self.a_claim():
            again = self.random.random() < 0.8
            self.with_claim(claim, lambda: self.ledger.fail(claim, "broken", again=again))

    def notice_cancel(self) -> None:
        """A worker stops only if its heartbeat brought the request."""
        if (claim := self.a_claim()) and self.with_claim(claim, lambda: self.ledger.heartbeat(claim, 0)):
            self.ledger.confirm_cancelled(claim)

    def die(self) -> None:
        """One or several workers are silent until their lease is over; they may come back."""
        dead = [shard.id for shard in self.shards(ShardState.RUNNING) if self.random.random() < 0.8]
        self.note(*dead)
        with self.ledger.database.write() as session:
            session.execute(update(Shard).where(Shard.id.in_(dead)).values(lease_until=LONG_AGO))

    def plague(self) -> None:
        """Everything queued is claimed, and nobody is heard of again."""
        self.claims += [
            claim for shard in self.shards(ShardState.QUEUED) if (claim := self.ledger.claim(shard.id, "dead"))
        ]
        with self.ledger.database.write() as session:
            session.execute(update(Shard).where(Shard.state == "running").values(lease_until=LONG_AGO))

    def expired(self) -> list[Shard]:
        return [shard for shard in self.shards(ShardState.RUNNING) if shard.lease_until == LONG_AGO]

    def sweep(self) -> None:
        before = self.expired()
        assert self.ledger.sweep() <= len(before)
        assert self.expired() == []

    def stop_worker(self) -> None:
        """A worker is stopped in good order: what it held is queued again, and the attempt doesn't count."""
        if running := self.shards(ShardState.RUNNING):
            shard = self.random.choice(running)
            cancelled = next(job for job in self.jobs() if job.id == shard.job_id).cancel_requested
            self.note(shard.id)
            self.ledger.worker_gone(shard.worker or "")
            now = next(other for other in self.shards() if other.id == shard.id)
            assert now.state == (ShardState.CANCELLED if cancelled else ShardState.QUEUED)
            assert now.attempt == shard.attempt - 1

    def send(self) -> None:
        due = [shard.id for shard in self.shards(ShardState.QUEUED) if shard.sent_at is None]
        limit = self.random.randint(1, 4)
        taken = [shard_id for shard_id, _ in self.ledger.take_unsent(limit)]
        assert taken == due[:limit]
        self.sent += taken

    def sending_failed(self) -> None:
        if self.sent:
            self.ledger.mark_unsent(self.random.sample(self.sent, k=min(3, len(self.sent))))

    def flush(self) -> None:
        queue = self.random.choice(["analysis", "cpu"])
        self.ledger.mark_lost(queue, -1.0)
        assert all(shard.queue != queue or shard.sent_at is None for shard in self.shards(ShardState.QUEUED))

    def cancel(self) -> None:
        if job := self.a_job():
            self.note(job.id, job.state)
            if job.state in (JobState.DONE, JobState.FAILED):
                with pytest.raises(JobStateConflict):
                    self.ledger.cancel(job.id)
            else:
                assert self.ledger.cancel(job.id) in (JobState.RUNNING, JobState.CANCELLED)

    def retry(self) -> None:
        if job := self.a_job():
            self.note(job.id, job.state)
            if job.state in (JobState.FAILED, JobState.CANCELLED):
                done = [shard.id for shard in self.shards(ShardState.DONE)]
                self.ledger.retry(job.id)
                assert [shard.id for shard in self.shards(ShardState.DONE)] == done
            else:
                with pytest.raises(JobStateConflict):
                    self.ledger.retry(job.id)

    # --- what always holds ---

    def check(self) -> None:
        shards = self.shards()
        for job in self.jobs():
            self.check_job(job, [shard for shard in shards if shard.job_id == job.id])
        with self.ledger.database.read() as session:
            results = session.scalars(select(Event.shard_id).where(Event.level == "result")).all()
        assert sorted(filter(None, results)) == [s.id for s in shards if s.state == ShardState.DONE]

    def check_job(self, job: Job, shards: list[Shard]) -> None:
        states = {shard.state for shard in shards}
        assert job.shards_total == len(shards)
        assert job.shards_left == sum(shard.state != ShardState.DONE for shard in shards)
        assert (job.state == JobState.DONE) == (states == {ShardState.DONE})
        assert (job.state == JobState.FAILED) == (ShardState.FAILED in states)
        assert (job.error is not None) == (job.state == JobState.FAILED)
        assert (job.finished_at is not None) == (job.state not in ACTIVE_JOBS)
        for shard in shards:
            earlier = [other for other in shards if other.stage < shard.stage]
            assert shard.state not in BEGUN or all(other.state == ShardState.DONE for other in earlier)
            assert shard.state != ShardState.WAITING or shard.stage > job.stage
            assert 0 <= shard.attempt <= MAX_ATTEMPTS
            assert (shard.token is not None) == (shard.state == ShardState.RUNNING)
        if job.state in ACTIVE_JOBS:  # somebody will go on with it
            assert states & {ShardState.QUEUED, ShardState.RUNNING}
            assert not job.cancel_requested or ShardState.RUNNING in states
        else:  # nobody works for nothing
            assert not states & OPEN


def test_the_ledger_keeps_its_promises(database: Database) -> None:
    for seed in SEEDS if database.is_sqlite else SEEDS[:4]:
        with database.write() as session:
            session.execute(delete(Job))
            session.merge(
                Dataset(id=1, name="voc", kind="voc", root="/", options={}, fingerprint=SHA256, class_names=[])
            )
        walk = Walk(Ledger(database, lease_seconds=3600), seed)
        try:
            walk.run(STEPS)
            walk.bring_to_an_end()
        except BaseException:
            print(f"seed {seed}:", *walk.happened, sep="\n  ")
            raise
