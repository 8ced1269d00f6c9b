"""Stateful tests of the ledger with random sequences of events, on a virtual clock.

Workers hold several shards at once, stop sending heartbeats, return after losing their lease, and are stopped;
jobs are cancelled and retried. After every step the database must equal the state that ``LedgerModel`` predicts, a
refused call must have changed nothing, and at the end of a sequence, running workers must be able to finish every
job.

By default a few fixed examples run; ``pytest --hypothesis-profile=long`` runs many random ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine
from sqlalchemy import delete, event, text

from shared.database.connection import Database
from shared.database.datasets import Dataset
from shared.database.schema import upgrade
from shared.errors import JobStateConflict, NoSuchJob
from shared.jobs.ledger import RESUMED, SECONDS_BEFORE, Claim, LeaseLost, Ledger
from shared.jobs.tables import Event, Job, JobState, Shard, ShardState, Worker
from shared.kinds.specification import ANALYSIS, CPU
from shared.kinds.top9.specification import Top9Specification
from tests.integration.ledger.helpers import SHA256, top9
from tests.integration.ledger.model import NOTE, RESULT, JobModel, LedgerModel, ShardModel, read_rows
from tests.integration.ledger.virtual_clock import BEGIN, VirtualClock, virtual_clock

LEASE = 30.0
MOST_JOBS = 3
EXAMPLES = {"sqlite": 50, "postgresql": 25}
STEPS = 40

Item = TypeVar("Item")

picks = st.integers(0, 11)  # index into a list, modulo its length
workers = st.sampled_from(["anna", "berta", "clara"])
# Durations around the end of a lease, at which it is still valid.
durations = st.sampled_from([1.0, LEASE - 1, LEASE, LEASE + 1, 2 * LEASE, 10.0])
of_claims = st.sampled_from(["held", "held", "asked", "overtaken", "any"])


class LedgerMachine(RuleBasedStateMachine):
    """The state machine. ``claims`` holds all claims ever made, most of which are no longer valid."""

    def __init__(self, database: Database, clock: VirtualClock) -> None:
        super().__init__()
        self.ledger = Ledger(database, LEASE)
        self.clock = clock
        clock.set(BEGIN)
        empty(database)
        self.claims: list[Claim] = []
        self.specifications: dict[int, Top9Specification] = {}
        self.expected = LedgerModel(LEASE)
        self.rows = read_rows(database)
        self.refused = False
        self.holds = True

    # --- submitting, cancelling, retrying ---

    @initialize(search=st.sampled_from([3, 2, 1]))
    def first(self, search: int) -> None:
        """Submit the first job; before it, calls on unknown jobs and shards have no effect."""
        for number in (-1, 0, 1, 2**31, 2**62):
            assert self.ledger.claim(number, "anna") is None
        for call in (self.ledger.cancel, self.ledger.retry):
            with pytest.raises(NoSuchJob):
                call(1)
        assert read_rows(self.ledger.database) == self.rows
        self.submit(search)

    @precondition(lambda self: len(self.expected.jobs) < MOST_JOBS)
    @rule(search=st.integers(1, 3))
    def submit(self, search: int) -> None:
        self.begin()
        specification = top9(1, search=search, seed=len(self.specifications))
        job, new = self.ledger.submit(specification)
        assert new
        assert job not in self.specifications
        self.added(job, specification, 0)

    @precondition(lambda self: len(self.expected.jobs) < MOST_JOBS)
    @rule(pick=picks, force=st.booleans())
    def submit_again(self, pick: int, force: bool) -> None:
        self.begin()
        specification = one_of(list(self.specifications.values()), pick)
        newest = max(
            (job for job in self.expected.jobs.values() if job.key == specification.key()),
            key=lambda job: job.generation,
        )
        job, new = self.ledger.submit(specification, force=force)
        assert new == force
        if force:
            self.added(job, specification, newest.generation + 1)
        else:
            assert job == newest.id
            self.refused = True

    def added(self, job: int, specification: Top9Specification, generation: int) -> None:
        self.specifications[job] = specification
        ids = [row.id for row in read_rows(self.ledger.database)["shards"] if row.job_id == job]
        self.expected.submit(job, specification.key(), generation, ids, specification.plan())

    @precondition(lambda self: self.jobs(ended=False))
    @rule(
        pick=picks,
        taken=st.sampled_from([3, 2, 0]),
        workers=st.sampled_from(["fail", "die", "finish", "go on"]),
    )
    def cancel(self, pick: int, taken: int, workers: str) -> None:
        """Cancel an active or an ended job; workers that have just claimed a shard react to it."""
        self.begin()
        job = one_of(self.jobs(ended=False) + self.jobs(ended=True)[-1:], pick)
        for shard in self.expected.of_job(job.id, ShardState.QUEUED)[:taken]:
            self.claim(shard, "clara")
        if job.state in (JobState.DONE, JobState.FAILED):
            self.conflicts(lambda: self.ledger.cancel(job.id))
        else:
            self.refused = job.state == JobState.CANCELLED
            self.expected.cancel(job.id)
            assert self.ledger.cancel(job.id) == job.state
        busy = [claim for claim in self.held() if claim.job_id == job.id]
        for claim in busy[:-1] or busy:  # if there are several, one continues
            if workers == "fail" and self.is_held(claim):  # the previous failure may have ended the job
                self.ledger.fail(claim, "broken", again=True)
                self.expected.fail(claim.shard_id, True)
            elif workers == "finish":
                self.completed(claim)
        if workers == "die":
            self.clock.advance(LEASE + 1)

    @precondition(lambda self: self.jobs(ended=True))
    @rule(pick=picks)
    def retry(self, pick: int) -> None:
        """Retry an ended or an active job."""
        self.begin()
        job = one_of(self.jobs(ended=True) + self.jobs(ended=False)[-1:], pick)
        if job.state in (JobState.FAILED, JobState.CANCELLED):
            self.ledger.retry(job.id)
            self.expected.retry(job.id)
        else:
            self.conflicts(lambda: self.ledger.retry(job.id))

    def jobs(self, *, ended: bool) -> list[JobModel]:
        return [job for job in self.expected.jobs.values() if job.active != ended]

    def conflicts(self, call: Callable[[], object]) -> None:
        self.refused = True
        with pytest.raises(JobStateConflict):
            call()

    # --- running shards ---

    @precondition(lambda self: self.expected.of_state(ShardState.QUEUED))
    @rule(pick=picks, worker=workers, sent=st.booleans())
    def claim_queued(self, pick: int, worker: str, sent: bool) -> None:
        """Claim a queued shard by a message that was just sent, or by an earlier one."""
        self.begin()
        if sent:
            assert list(self.ledger.take_unsent()) == self.expected.take_unsent(1000, self.clock.now)
        self.claim(one_of(self.expected.of_state(ShardState.QUEUED), pick), worker)

    @rule(pick=picks, worker=workers)
    def claim_any(self, pick: int, worker: str) -> None:
        """Claim any shard by an old message; often its worker has stopped sending heartbeats."""
        self.begin()
        shards = self.expected.expired(self.clock.now) or list(self.expected.shards.values())
        self.claim(one_of(shards, pick), worker)

    def claim(self, shard: ShardModel, worker: str) -> Claim | None:
        claim = self.ledger.claim(shard.id, worker)
        assert (claim is not None) == self.expected.is_claimable(shard, self.clock.now)
        if claim is None:
            self.refused = True
            return None
        assert claim.token not in {earlier.token for earlier in self.claims}
        self.claims.append(claim)
        self.expected.claim(shard.id, worker, claim.token, self.clock.now)
        planned = self.specifications[shard.job_id].plan()[shard.number]
        assert (claim.shard_id, claim.job_id, claim.kind) == (shard.id, shard.job_id, "top9")
        payload = {name: value for name, value in claim.payload.items() if name not in (RESUMED, SECONDS_BEFORE)}
        assert (claim.stage_name, payload, claim.work_total) == (planned.stage, planned.payload, planned.work)
        assert claim.attempt == shard.attempt
        return claim

    @precondition(lambda self: self.claims)
    @rule(of=of_claims, pick=picks, work=st.integers(0, 100))
    def heartbeat(self, of: str, pick: int, work: int) -> None:
        self.begin()
        claim = self.a_claim(of, pick)
        self.beat(claim, work)

    def beat(self, claim: Claim, work: int) -> bool | None:
        """Send a heartbeat; returns whether cancelling is requested, or None without the lease."""
        cancel = self.allowed(claim, lambda: self.ledger.heartbeat(claim, work))
        if cancel is not None:
            assert cancel == self.expected.jobs[claim.job_id].cancel_requested
            self.expected.heartbeat(claim.shard_id, work, self.clock.now)
        return bool(cancel) if cancel is not None else None

    @precondition(lambda self: self.claims)
    @rule(of=of_claims, pick=picks)
    def record(self, of: str, pick: int) -> None:
        self.begin()
        claim = self.a_claim(of, pick)
        row = Event(job_id=claim.job_id, level=NOTE, message="an epoch")
        if self.allowed(claim, lambda: self.ledger.record(claim, lambda session: session.add(row)) or True):
            self.expected.record(claim.shard_id, self.clock.now)

    @precondition(lambda self: self.claims)
    @rule(of=of_claims, pick=picks)
    def complete(self, of: str, pick: int) -> None:
        self.begin()
        self.completed(self.a_claim(of, pick))

    def completed(self, claim: Claim) -> None:
        row = Event(job_id=claim.job_id, shard_id=claim.shard_id, level=RESULT, message="a row")
        path = f"ab/{claim.shard_id}.npz"
        if self.allowed(claim, lambda: self.ledger.complete(claim, lambda s: s.add(row), path) or True):
            self.expected.complete(claim.shard_id, path)

    @precondition(lambda self: self.expected.of_state(ShardState.QUEUED))
    @rule(worker=workers, but=picks)
    def work(self, worker: str, but: int) -> None:
        """Run all queued shards, except one in some cases, so that jobs reach their later stages."""
        self.begin()
        queued = self.expected.of_state(ShardState.QUEUED)
        for shard in queued[:but] + queued[but + 1 :]:
            if claim := self.claim(shard, worker):
                self.completed(claim)

    @precondition(lambda self: self.claims)
    @rule(pick=picks, record=st.booleans())
    def writing_breaks(self, pick: int, record: bool) -> None:
        """Fail in the middle of a transaction, as on a full disk: nothing may change."""
        self.begin()
        claim = self.a_claim("held", pick)
        self.refused = True

        def write(session: Any) -> None:
            session.add(Event(job_id=claim.job_id, shard_id=claim.shard_id, level=RESULT, message="half"))
            session.flush()
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError if self.is_held(claim) else LeaseLost):
            (self.ledger.record if record else self.ledger.complete)(claim, write)

    @precondition(lambda self: self.claims)
    @rule(of=of_claims, pick=picks, again=st.sampled_from([True, True, False]))
    def fail(self, of: str, pick: int, again: bool) -> None:
        self.begin()
        claim = self.a_claim(of, pick)
        if self.allowed(claim, lambda: self.ledger.fail(claim, "broken", again=again) or True):
            self.expected.fail(claim.shard_id, again)

    @precondition(lambda self: self.claims)
    @rule(of=of_claims, pick=picks, work=st.integers(0, 100))
    def pause(self, of: str, pick: int, work: int) -> None:
        """Let others run before a shard; the attempt does not count."""
        self.begin()
        claim = self.a_claim(of, pick)
        if self.allowed(claim, lambda: self.ledger.pause(claim, work, 10.0, "since job 1 waits") or True):
            self.expected.pause(claim.shard_id, work)

    @precondition(lambda self: self.claims)
    @rule(of=of_claims, pick=picks)
    def notice_cancel(self, of: str, pick: int) -> None:
        """Stop a shard because of a cancel request, which a worker knows only from its heartbeat."""
        self.begin()
        claim = self.a_claim("asked" if of == "held" else of, pick)
        cancelled = self.beat(claim, 0)
        if cancelled:
            self.ledger.confirm_cancelled(claim)
            self.expected.confirm_cancelled(claim.shard_id)
        elif cancelled is None:
            with pytest.raises(LeaseLost):
                self.ledger.confirm_cancelled(claim)

    def held(self) -> list[Claim]:
        return [claim for claim in self.claims if self.is_held(claim)]

    def is_held(self, claim: Claim) -> bool:
        return self.expected.shards[claim.shard_id].token == claim.token

    def a_claim(self, of: str, pick: int) -> Claim:
        """Choose a claim: a valid one, a valid one of a job being cancelled, one that was replaced, or any."""
        held = self.held()
        asked = [claim for claim in held if self.expected.jobs[claim.job_id].cancel_requested]
        taken = [c for c in self.claims if c not in held and self.expected.shards[c.shard_id].token is not None]
        return one_of({"held": held, "asked": asked or held, "overtaken": taken}.get(of) or self.claims, pick)

    def allowed(self, claim: Claim, call: Callable[[], Any]) -> Any:
        """Make the call; without the lease it must be refused, and None is returned."""
        if self.is_held(claim):
            return call()
        self.refused = True
        with pytest.raises(LeaseLost):
            call()
        return None

    # --- time ---

    @precondition(lambda self: self.expected.of_state(ShardState.RUNNING) or self.expected.seen)
    @rule(seconds=durations)
    def advance(self, seconds: float) -> None:
        self.begin()
        self.clock.advance(seconds)
        self.alive_are_known()

    @precondition(lambda self: self.expected.of_state(ShardState.RUNNING))
    @rule(silent=st.integers(0, 2**6 - 1))
    def silence(self, silent: int) -> None:
        """Let some workers send no heartbeat until their lease expires; the others send one at the last moment.

        The silent workers may return later.
        """
        self.begin()
        self.clock.advance(LEASE)
        for shard in self.expected.of_state(ShardState.RUNNING):
            if shard.lease_until == self.clock.now:
                assert self.ledger.claim(shard.id, "clara") is None
        if not self.expected.expired(self.clock.now):
            assert self.ledger.sweep() == 0
        for place, claim in enumerate(self.held()):
            if not silent >> place % 6 & 1:
                self.beat(claim, 1)
        self.clock.advance(1)

    @precondition(lambda self: self.expected.of_state(ShardState.QUEUED))
    @rule(worker=workers, times=st.integers(1, 3), swept=st.booleans())
    def plague(self, worker: str, times: int, swept: bool) -> None:
        """Claim all queued shards and send no heartbeats, once or until the attempts are used up."""
        self.begin()
        mortal = self.expected.of_state(ShardState.QUEUED)
        for _ in range(times):
            for shard in mortal:
                self.claim(shard, worker)
            self.clock.advance(LEASE + 1)
            if swept:
                self.swept()
        self.refused = False

    # --- sweeping and sending ---

    @precondition(lambda self: self.expected.of_state(ShardState.RUNNING))
    @rule()
    def sweep(self) -> None:
        self.begin()
        self.refused = not self.expected.expired(self.clock.now)
        self.swept()

    def swept(self) -> None:
        assert self.ledger.sweep() == len(self.expected.expired(self.clock.now))
        rows = read_rows(self.ledger.database)["shards"]
        self.expected.sweep(self.clock.now, {row.id for row in rows if row.state == ShardState.FAILED})

    @precondition(lambda self: self.expected.of_state(ShardState.RUNNING) or self.expected.seen)
    @rule(worker=workers)
    def stop_worker(self, worker: str) -> None:
        """Stop a worker gracefully: its shards are queued again, and the attempts don't count."""
        self.begin()
        self.ledger.worker_gone(worker)
        self.expected.worker_gone(worker)

    @precondition(lambda self: self.clock.now not in self.expected.seen.values())
    @rule(worker=workers)
    def see_worker(self, worker: str) -> None:
        self.begin()
        self.ledger.worker_seen(worker, "cpu", [ANALYSIS], 7)
        self.expected.seen[worker] = self.clock.now
        self.alive_are_known()

    def alive_are_known(self) -> None:
        alive = [worker.name for worker in self.ledger.live_workers()]
        assert alive == self.expected.alive(self.clock.now)

    @precondition(lambda self: self.expected.due())
    @rule(limit=st.integers(1, 4), fails=st.booleans(), places=st.lists(picks, max_size=3))
    def send(self, limit: int, fails: bool, places: list[int]) -> None:
        """Send messages, which must be due exactly for the queued shards without a message.

        Sending may fail, so that they are due again, and shards may leave the queue meanwhile.
        """
        self.begin()
        taken = list(self.ledger.take_unsent(limit))
        assert taken == self.expected.take_unsent(limit, self.clock.now)
        if fails:
            if len(places) == 3:  # claim by an earlier message
                self.claim(self.expected.shards[taken[0][0]], "berta")
            ids = [taken[0][0], *(one_of(list(self.expected.shards), place) for place in places)]
            self.ledger.mark_unsent(ids)
            self.expected.mark_unsent(ids)

    @precondition(lambda self: self.expected.due() or self.expected.sent())
    @rule(
        queue=st.sampled_from([ANALYSIS, ANALYSIS, CPU]),
        ago=st.sampled_from([9.0, 10.0, 11.0]),
        seconds=st.sampled_from([-1.0, 9.0, 10.0, 11.0]),
    )
    def flush(self, queue: str, ago: float, seconds: float) -> None:
        """Redis loses the messages of the last seconds."""
        self.begin()
        for pause in (ago, 0.0):
            assert list(self.ledger.take_unsent(1)) == self.expected.take_unsent(1, self.clock.now)
            self.clock.advance(pause)
        lost = self.ledger.mark_lost([queue], seconds)
        assert lost == self.expected.mark_lost(queue, seconds, self.clock.now)

    # --- invariants ---

    def begin(self) -> None:
        """Mark the start of a rule, after which the invariants are not yet checked."""
        self.refused = self.holds = False

    @invariant()
    def keeps_its_promises(self) -> None:
        rows = read_rows(self.ledger.database)
        found = LedgerModel.of(rows, LEASE)
        for name, value in vars(self.expected).items():
            assert getattr(found, name) == value, name
        found.check()
        if self.refused:
            assert rows == self.rows
        self.rows, self.holds = rows, True

    def teardown(self) -> None:
        """Check that running workers can finish every job, in as many rounds as it has stages."""
        if not self.holds or not self.specifications:
            return
        self.begin()
        self.clock.advance(LEASE + 1)
        self.swept()
        self.keeps_its_promises()
        for job in list(self.expected.jobs.values()):
            if job.state == JobState.FAILED:
                self.conflicts(lambda job=job: self.ledger.cancel(job.id))  # type: ignore[misc]
            if job.state in (JobState.FAILED, JobState.CANCELLED):
                assert self.ledger.submit(self.specifications[job.id])[0] in self.specifications
                self.ledger.retry(job.id)
                self.expected.retry(job.id)
        for _ in range(4):
            for shard in self.expected.of_state(ShardState.QUEUED):
                claim = self.claim(shard, "good")
                assert claim is not None
                self.completed(claim)
            self.refused = False
            self.keeps_its_promises()
        assert {job.state for job in self.expected.jobs.values()} == {JobState.DONE}
        self.conflicts(lambda: self.ledger.cancel(1))
        self.keeps_its_promises()


def one_of(items: Sequence[Item], pick: int) -> Item:
    return items[pick % len(items)]


def empty(database: Database) -> None:
    """Remove all jobs and workers, and restart ids at 1, so that examples are reproducible."""
    with database.write() as session:
        for model in (Job, Worker):
            session.execute(delete(model))
        if not database.is_sqlite:
            for model in (Job, Shard, Event):
                session.execute(text(f"ALTER SEQUENCE {model.__tablename__}_id_seq RESTART"))


def in_haste(connection: Any, record: object) -> None:
    connection.execute("PRAGMA synchronous=OFF")  # durability isn't tested


def chosen(kind: str) -> settings:
    if settings.get_current_profile_name() == "long":
        return settings()
    health = (HealthCheck.too_slow, HealthCheck.filter_too_much)
    return settings(
        max_examples=EXAMPLES[kind],
        stateful_step_count=STEPS,
        derandomize=True,
        deadline=None,
        suppress_health_check=health,
    )


@pytest.mark.timeout(0)  # Hypothesis itself limits the time to shrink a failing example
def test_the_ledger_equals_its_model_for_random_events(database_url: str) -> None:
    made = Database(database_url)
    upgrade(made)
    made.close()
    with virtual_clock(database_url) as (database, clock):
        if database.is_sqlite:
            event.listen(database.engine, "connect", in_haste)
            database.engine.dispose()
        with database.write() as session:
            session.add(
                Dataset(id=1, name="voc", kind="voc", root="/", options={}, fingerprint=SHA256, class_names=[])
            )
        kind = "sqlite" if database.is_sqlite else "postgresql"
        run_machine(lambda: LedgerMachine(database, clock), settings=chosen(kind))
