"""The ledger on both databases: who may write, what comes next, and that nothing is lost or done twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import IntegrityError

from shared.database import Database
from shared.errors import JobStateConflict, NoSuchJob
from shared.ledger import MAX_ATTEMPTS, Claim, LeaseLost, Ledger
from shared.models import Artifact, Base, Dataset, Event, Image, Job, JobState, Shard, ShardState
from shared.networks import NetworkSpecification
from shared.specifications import CPU, SearchedLayerSpecification, Specification, Top9Specification
from shared.store import Store

SHA256 = "ab" * 32
ACTIVE = ("waiting", "queued", "running")
RACES = 20  # how often the races for the last shard are run
FEW = 8  # and the other ones


def top9(dataset_id: int, *, search: int = 2, seed: int = 0) -> Top9Specification:
    """A small search: ``search`` shards of stage *search*, one *select*, ``search`` *project*, one *finish*."""
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


@pytest.fixture
def dataset(database: Database) -> int:
    with database.write() as session:
        row = Dataset(
            name="voc", kind="voc", root="/data", options={}, fingerprint=SHA256, class_names=["cat", "dog"]
        )
        session.add(row)
        session.flush()
        return row.id


@pytest.fixture
def ledger(database: Database, dataset: int) -> Ledger:
    return Ledger(database)


@pytest.fixture
def specification(dataset: int) -> Top9Specification:
    return top9(dataset)


@pytest.fixture
def job(ledger: Ledger, specification: Top9Specification) -> int:
    return ledger.submit(specification)[0]


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
    """Every row of every table."""
    with ledger.database.read() as session:
        return {
            table.name: sorted(map(tuple, session.execute(select(table))), key=repr)
            for table in Base.metadata.sorted_tables
        }


def claimed(ledger: Ledger, shard_id: int, worker: str = "w") -> Claim:
    claim = ledger.claim(shard_id, worker)
    assert claim is not None
    return claim


def finish_stage(ledger: Ledger, job: int) -> None:
    for shard_id in queued(ledger, job):
        ledger.complete(claimed(ledger, shard_id))


def expire(ledger: Ledger, shard_id: int) -> None:
    """As if the worker had been silent for longer than its lease."""
    with ledger.database.write() as session:
        session.execute(
            update(Shard).where(Shard.id == shard_id, Shard.token.is_not(None)).values(lease_until=1.0)
        )


def die(ledger: Ledger, shard_id: int, times: int = 1) -> None:
    """Workers that claim the shard and are never heard of again; the last one's lease has just run out."""
    for _ in range(times):
        claimed(ledger, shard_id, "dead")
        expire(ledger, shard_id)


class Rivals:
    """The same ledger as several processes have it: each with connections of its own."""

    def __init__(self, ledger: Ledger, count: int = 4) -> None:
        url = ledger.database.url.render_as_string(hide_password=False)
        self.ledgers = [Ledger(Database(url), ledger.lease_seconds) for _ in range(count)]
        for own in self.ledgers:
            own.live_workers()  # connected

    def __call__(self, *calls: Callable[[Ledger], Any]) -> list[Any]:
        """Make each call in a thread of its own, all at one moment: what it returned or raised."""
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


@pytest.fixture
def at_once(ledger: Ledger) -> Iterator[Rivals]:
    rivals = Rivals(ledger)
    yield rivals
    for own in rivals.ledgers:
        own.database.close()


# --- submit ---


def test_submit_inserts_all_shards_with_only_the_first_stage_queued(
    ledger: Ledger, specification: Top9Specification
) -> None:
    job, new = ledger.submit(specification)
    assert new
    assert states(ledger, job) == ["queued", "queued", "waiting", "waiting", "waiting", "waiting"]
    shards = shards_of(ledger, job)
    assert [shard.stage_name for shard in shards] == ["search"] * 2 + ["select"] + ["project"] * 2 + ["finish"]
    assert [shard.stage for shard in shards] == [0, 0, 1, 2, 2, 3]
    assert [shard.payload for shard in shards] == [planned.payload for planned in specification.plan()]
    assert [shard.queue for shard in shards] == [planned.queue for planned in specification.plan()]
    assert {(shard.attempt, shard.token, shard.sent_at) for shard in shards} == {(0, None, None)}
    row = job_of(ledger, job)
    assert (row.state, row.stage, row.shards_total, row.shards_left) == ("queued", 0, 6, 6)
    assert (row.key, row.generation) == (specification.key(), 0)
    assert Top9Specification.model_validate(row.specification) == specification


def test_same_specification_twice_is_one_job(ledger: Ledger, specification: Top9Specification) -> None:
    first, _ = ledger.submit(specification)
    before = dump(ledger)
    assert ledger.submit(specification) == (first, False)
    assert dump(ledger) == before


def test_number_of_shards_is_no_part_of_the_request(ledger: Ledger, dataset: int) -> None:
    first, _ = ledger.submit(top9(dataset))
    other = top9(dataset).model_copy(update={"shards": 1, "weights_path": "cd/other.safetensors"})
    assert ledger.submit(other) == (first, False)
    assert ledger.submit(top9(dataset, seed=1))[1]


def test_force_makes_a_new_generation_and_is_what_is_found_next(
    ledger: Ledger, specification: Top9Specification
) -> None:
    first, _ = ledger.submit(specification)
    second, new = ledger.submit(specification, force=True)
    assert new
    assert second != first
    assert [job_of(ledger, job).generation for job in (first, second)] == [0, 1]
    assert ledger.submit(specification) == (second, False)


def test_what_belongs_to_a_job_is_written_with_it_or_neither_is(
    ledger: Ledger, specification: Top9Specification
) -> None:
    before = dump(ledger)

    def also(session: Any, job_id: int) -> None:
        session.add(Event(job_id=job_id, level="info", message="mine"))
        session.flush()
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        ledger.submit(specification, also=also)
    assert dump(ledger) == before
    job, _ = ledger.submit(
        specification, also=lambda s, job_id: s.add(Event(job_id=job_id, level="info", message="mine"))
    )
    assert "mine" in messages(ledger, job)


def test_submit_on_a_data_set_that_is_not_registered_is_an_error(ledger: Ledger) -> None:
    before = dump(ledger)
    with pytest.raises(IntegrityError):
        ledger.submit(top9(999_999))
    assert dump(ledger) == before


def test_two_who_submit_the_same_at_once_get_one_job(ledger: Ledger, dataset: int, at_once: Rivals) -> None:
    for seed in range(FEW):
        wanted = top9(dataset, seed=seed)
        outcomes = at_once(*[lambda own: own.submit(wanted)] * 3)  # noqa: B023
        assert len({job for job, _ in outcomes}) == 1
        assert sorted(new for _, new in outcomes) == [False, False, True]
        assert len(shards_of(ledger, outcomes[0][0])) == 6


def test_two_who_force_at_once_get_two_generations(
    ledger: Ledger, specification: Top9Specification, at_once: Rivals
) -> None:
    ledger.submit(specification)
    for turn in range(FEW):
        outcomes = at_once(*[lambda own: own.submit(specification, force=True)] * 2)
        assert [new for _, new in outcomes] == [True, True]
        generations = {job_of(ledger, job).generation for job, _ in outcomes}
        assert generations == {2 * turn + 1, 2 * turn + 2}


# --- claim ---


def test_claim_raises_the_attempt_and_gives_a_token_and_a_lease(
    ledger: Ledger, job: int, specification: Specification
) -> None:
    shard_id = queued(ledger, job)[0]
    claim = claimed(ledger, shard_id, "worker-1")
    shard = shards_of(ledger, job)[0]
    assert (shard.state, shard.attempt, shard.worker, shard.token) == ("running", 1, "worker-1", claim.token)
    assert shard.started_at is not None
    assert (claim.shard_id, claim.job_id, claim.kind, claim.stage_name) == (shard_id, job, "top9", "search")
    assert claim.payload == {"start": 0, "stop": 32}
    assert (claim.attempt, claim.work_total) == (1, 32)
    assert claim.specification == specification.model_dump(mode="json")
    assert job_of(ledger, job).state == JobState.RUNNING
    assert job_of(ledger, job).started_at is not None


def test_lease_is_as_long_as_the_settings_say_by_the_databases_clock(ledger: Ledger, job: int) -> None:
    long = Ledger(ledger.database, lease_seconds=1000.0)
    claimed(long, queued(ledger, job)[0])
    clock = (
        "(julianday('now') - 2440587.5) * 86400.0" if ledger.database.is_sqlite else "extract(epoch from now())"
    )
    with ledger.database.read() as session:
        left = session.scalar(text(f"SELECT lease_until - ({clock}) FROM shards WHERE state = 'running'"))
    assert 900 < float(left) <= 1001


def test_a_claimed_shard_is_refused_to_a_second_worker(ledger: Ledger, job: int) -> None:
    shard_id = queued(ledger, job)[0]
    claimed(ledger, shard_id)
    before = dump(ledger)
    assert ledger.claim(shard_id, "other") is None
    assert dump(ledger) == before


def test_of_many_who_claim_at_once_one_gets_it(ledger: Ledger, dataset: int, at_once: Rivals) -> None:
    for seed in range(FEW):
        job, _ = ledger.submit(top9(dataset, seed=seed))
        shard_id = queued(ledger, job)[0]
        outcomes = at_once(*[lambda own: own.claim(shard_id, "w")] * 3)  # noqa: B023
        assert sorted(isinstance(outcome, Claim) for outcome in outcomes) == [False, False, True]
        assert shards_of(ledger, job)[0].attempt == 1


def test_of_many_who_claim_an_expired_shard_at_once_one_gets_it(
    ledger: Ledger, dataset: int, at_once: Rivals
) -> None:
    for seed in range(FEW):
        job, _ = ledger.submit(top9(dataset, seed=seed))
        shard_id = queued(ledger, job)[0]
        die(ledger, shard_id)
        outcomes = at_once(*[lambda own: own.claim(shard_id, "w")] * 3)  # noqa: B023
        assert sorted(isinstance(outcome, Claim) for outcome in outcomes) == [False, False, True]
        assert shards_of(ledger, job)[0].attempt == 2


def test_waiting_done_failed_and_cancelled_shards_are_refused(ledger: Ledger, dataset: int) -> None:
    job, _ = ledger.submit(top9(dataset, search=3))
    first, second, third = queued(ledger, job)
    waiting = [shard.id for shard in shards_of(ledger, job) if shard.state == ShardState.WAITING]
    assert [ledger.claim(shard_id, "w") for shard_id in waiting] == [None] * len(waiting)
    ledger.complete(claimed(ledger, first))
    assert ledger.claim(first, "w") is None
    ledger.fail(claimed(ledger, second), "broken", again=False)
    assert states(ledger, job)[:3] == ["done", "failed", "cancelled"]
    before = dump(ledger)
    assert [ledger.claim(shard_id, "w") for shard_id in (first, second, third)] == [None, None, None]
    assert dump(ledger) == before


def test_a_message_of_a_shard_that_is_not_there_is_ignored(ledger: Ledger, job: int) -> None:
    before = dump(ledger)
    for shard_id in (0, -1, 999_999, 2**31 - 1, 2**31, 2**40, 2**63 - 1):
        assert ledger.claim(shard_id, "w") is None
    assert dump(ledger) == before


def test_an_expired_lease_is_taken_over_and_the_silent_worker_is_fenced_off(ledger: Ledger, job: int) -> None:
    shard_id = queued(ledger, job)[0]
    silent = claimed(ledger, shard_id, "silent")
    expire(ledger, shard_id)
    second = claimed(ledger, shard_id, "second")
    assert (second.attempt, shards_of(ledger, job)[0].worker) == (2, "second")
    with pytest.raises(LeaseLost):
        ledger.complete(silent)
    ledger.complete(second)


def test_an_expired_third_attempt_is_not_claimed_but_left_to_the_sweeper(ledger: Ledger, job: int) -> None:
    shard_id = queued(ledger, job)[0]
    die(ledger, shard_id, times=MAX_ATTEMPTS)
    assert ledger.claim(shard_id, "w") is None
    ledger.sweep()
    assert job_of(ledger, job).state == JobState.FAILED


def test_nothing_is_claimed_once_a_cancel_is_requested(ledger: Ledger, job: int) -> None:
    first, second = queued(ledger, job)
    claimed(ledger, first)
    ledger.cancel(job)
    expire(ledger, first)
    assert ledger.claim(first, "w") is None
    assert ledger.claim(second, "w") is None


def test_a_shard_of_a_finished_job_is_not_claimed(ledger: Ledger, dataset: int) -> None:
    """Even if its row, by somebody's hand, says that it is queued."""
    done, _ = ledger.submit(top9(dataset, seed=1))
    while job_of(ledger, done).state != JobState.DONE:
        finish_stage(ledger, done)
    failed, _ = ledger.submit(top9(dataset, seed=2))
    ledger.fail(claimed(ledger, queued(ledger, failed)[0]), "broken", again=False)
    cancelled, _ = ledger.submit(top9(dataset, seed=3))
    ledger.cancel(cancelled)
    with ledger.database.write() as session:
        session.execute(update(Shard).values(state="queued"))
    for job in (done, failed, cancelled):
        assert [ledger.claim(shard.id, "w") for shard in shards_of(ledger, job)] == [None] * 6


# --- heartbeat and record ---


def test_heartbeat_extends_the_lease_and_notes_the_progress(ledger: Ledger, job: int) -> None:
    claim = claimed(ledger, queued(ledger, job)[0])
    expire(ledger, claim.shard_id)
    assert ledger.heartbeat(claim, 7) is False
    shard = shards_of(ledger, job)[0]
    assert shard.work_done == 7
    assert shard.lease_until is not None
    assert shard.lease_until > 1e9
    assert ledger.sweep() == 0


def test_heartbeat_never_shows_more_work_than_there_is(ledger: Ledger, job: int) -> None:
    claim = claimed(ledger, queued(ledger, job)[0])
    ledger.heartbeat(claim, 10**6)
    assert shards_of(ledger, job)[0].work_done == claim.work_total


def test_heartbeat_brings_back_a_cancel_request(ledger: Ledger, job: int) -> None:
    claim = claimed(ledger, queued(ledger, job)[0])
    assert ledger.heartbeat(claim, 0) is False
    assert ledger.cancel(job) == "running"
    assert ledger.heartbeat(claim, 0) is True


def test_record_writes_while_the_claim_holds_and_extends_the_lease(ledger: Ledger, job: int) -> None:
    claim = claimed(ledger, queued(ledger, job)[0])
    expire(ledger, claim.shard_id)
    ledger.record(claim, lambda session: session.add(Event(job_id=job, level="info", message="epoch 1")))
    assert "epoch 1" in messages(ledger, job)
    assert ledger.sweep() == 0


def test_what_fails_while_it_is_recorded_leaves_nothing_and_the_claim_stands(ledger: Ledger, job: int) -> None:
    claim = claimed(ledger, queued(ledger, job)[0])
    before = dump(ledger)

    def write(session: Any) -> None:
        session.add(Event(job_id=job, level="info", message="half"))
        session.flush()
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError):
        ledger.record(claim, write)
    with pytest.raises(RuntimeError):
        ledger.complete(claim, write)
    assert dump(ledger) == before
    ledger.complete(claim)


# --- the fence ---


def taken_over(ledger: Ledger, shard_id: int) -> None:
    expire(ledger, shard_id)
    claimed(ledger, shard_id, "second")


def taken_back(ledger: Ledger, shard_id: int) -> None:
    expire(ledger, shard_id)
    assert ledger.sweep() == 1


def done_by_another(ledger: Ledger, shard_id: int) -> None:
    expire(ledger, shard_id)
    ledger.complete(claimed(ledger, shard_id, "second"))


def job_failed(ledger: Ledger, shard_id: int) -> None:
    with ledger.database.read() as session:
        other = session.scalars(select(Shard.id).where(Shard.state == "queued", Shard.id != shard_id)).first()
    assert other
    ledger.fail(claimed(ledger, other), "broken", again=False)


def job_retried(ledger: Ledger, shard_id: int) -> None:
    job_failed(ledger, shard_id)
    with ledger.database.read() as session:
        job = session.scalars(select(Shard.job_id).where(Shard.id == shard_id)).one()
    ledger.retry(job)
    claimed(ledger, shard_id, "second")


@pytest.mark.parametrize("lose", [taken_over, taken_back, done_by_another, job_failed, job_retried])
def test_a_lost_lease_refuses_every_write(ledger: Ledger, job: int, lose: Callable[[Ledger, int], None]) -> None:
    claim = claimed(ledger, queued(ledger, job)[0])
    lose(ledger, claim.shard_id)
    before = dump(ledger)
    mine = Event(job_id=job, level="info", message="written by a worker that had lost its lease")
    attempts: list[Callable[[], Any]] = [
        lambda: ledger.heartbeat(claim, 5),
        lambda: ledger.record(claim, lambda session: session.add(mine)),
        lambda: ledger.complete(claim, lambda session: session.add(mine), "ab/c.npz"),
        lambda: ledger.fail(claim, "mine", again=True),
        lambda: ledger.fail(claim, "mine", again=False),
        lambda: ledger.confirm_cancelled(claim),
    ]
    for attempt in attempts:
        with pytest.raises(LeaseLost):
            attempt()
        assert dump(ledger) == before


def test_a_shard_is_completed_once_however_often_it_is_said(ledger: Ledger, job: int) -> None:
    claim = claimed(ledger, queued(ledger, job)[0])
    ledger.complete(claim)
    with pytest.raises(LeaseLost):
        ledger.complete(claim)
    assert job_of(ledger, job).shards_left == 5


def test_of_two_that_complete_one_shard_at_once_one_counts(ledger: Ledger, dataset: int, at_once: Rivals) -> None:
    for seed in range(FEW):
        job, _ = ledger.submit(top9(dataset, seed=seed))
        claim = claimed(ledger, queued(ledger, job)[0])
        outcomes = at_once(*[lambda own: own.complete(claim)] * 2)  # noqa: B023
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["LeaseLost", "NoneType"]
        assert job_of(ledger, job).shards_left == 5


def test_a_silent_worker_that_completes_while_another_takes_over(
    ledger: Ledger, dataset: int, at_once: Rivals
) -> None:
    """One of the two has the shard, never both."""
    for seed in range(FEW):
        job, _ = ledger.submit(top9(dataset, seed=seed))
        silent = claimed(ledger, queued(ledger, job)[0])
        expire(ledger, silent.shard_id)
        completed, taken = at_once(
            lambda own: own.complete(silent),  # noqa: B023
            lambda own: own.claim(silent.shard_id, "second"),  # noqa: B023
        )
        shard = shards_of(ledger, job)[0]
        if completed is None:
            assert taken is None
            assert (shard.state, job_of(ledger, job).shards_left) == ("done", 5)
        else:
            assert isinstance(completed, LeaseLost)
            assert (shard.state, shard.token) == ("running", taken.token)


# --- complete ---


def test_complete_marks_the_shard_and_counts_it_off(ledger: Ledger, job: int) -> None:
    claim = claimed(ledger, queued(ledger, job)[0])
    ledger.complete(
        claim, lambda session: session.add(Event(job_id=job, level="info", message="result")), "ab/c.npz"
    )
    shard = shards_of(ledger, job)[0]
    assert (shard.state, shard.token, shard.lease_until) == ("done", None, None)
    assert (shard.work_done, shard.result_path) == (shard.work_total, "ab/c.npz")
    assert shard.finished_at is not None
    assert "result" in messages(ledger, job)
    assert states(ledger, job) == ["done", "queued", "waiting", "waiting", "waiting", "waiting"]
    assert (job_of(ledger, job).shards_left, job_of(ledger, job).stage) == (5, 0)


def test_stages_follow_one_another_and_the_last_shard_ends_the_job(ledger: Ledger, job: int) -> None:
    seen = []
    while job_of(ledger, job).state != JobState.DONE:
        seen.append(states(ledger, job))
        assert job_of(ledger, job).finished_at is None
        finish_stage(ledger, job)
    assert seen == [
        ["queued", "queued", "waiting", "waiting", "waiting", "waiting"],
        ["done", "done", "queued", "waiting", "waiting", "waiting"],
        ["done", "done", "done", "queued", "queued", "waiting"],
        ["done", "done", "done", "done", "done", "queued"],
    ]
    assert states(ledger, job) == ["done"] * 6
    assert job_of(ledger, job).shards_left == 0
    assert job_of(ledger, job).finished_at is not None
    assert messages(ledger, job)[-1] == "job done"


def test_two_last_shards_of_a_stage_open_the_next_one_exactly_once(
    ledger: Ledger, dataset: int, at_once: Rivals
) -> None:
    for seed in range(RACES):
        job, _ = ledger.submit(top9(dataset, seed=seed))
        first, second = (claimed(ledger, shard_id) for shard_id in queued(ledger, job))
        outcomes = at_once(lambda own: own.complete(first), lambda own: own.complete(second))  # noqa: B023
        assert outcomes == [None, None]
        assert states(ledger, job) == ["done", "done", "queued", "waiting", "waiting", "waiting"]
        assert (job_of(ledger, job).shards_left, job_of(ledger, job).stage) == (4, 1)
        assert len(queued(ledger, job)) == 1


def test_two_last_shards_of_a_job_end_it_exactly_once(ledger: Ledger, dataset: int, at_once: Rivals) -> None:
    for seed in range(RACES):
        job, _ = ledger.submit(top9(dataset, seed=seed))
        with ledger.database.write() as session:  # a job of one stage with two shards
            session.execute(text("DELETE FROM shards WHERE job_id = :job AND stage > 0"), {"job": job})
            session.execute(update(Job).where(Job.id == job).values(shards_total=2, shards_left=2))
        first, second = (claimed(ledger, shard_id) for shard_id in queued(ledger, job))
        outcomes = at_once(lambda own: own.complete(first), lambda own: own.complete(second))  # noqa: B023
        assert outcomes == [None, None]
        assert (job_of(ledger, job).state, job_of(ledger, job).shards_left) == ("done", 0)
        assert messages(ledger, job).count("job done") == 1


def test_many_workers_do_every_shard_once(ledger: Ledger, dataset: int, at_once: Rivals) -> None:
    """Four workers try every shard again and again until the job is done; each result is a row."""
    job, _ = ledger.submit(top9(dataset, search=6))
    ids = [shard.id for shard in shards_of(ledger, job)]

    def work(own: Ledger) -> int:
        done = 0
        while job_of(own, job).state in ("queued", "running"):
            for shard_id in ids:
                if claim := own.claim(shard_id, "w"):
                    own.heartbeat(claim, 1)
                    row = Event(job_id=job, shard_id=shard_id, level="test", message="result")
                    own.complete(claim, lambda session, row=row: session.add(row))  # type: ignore[misc]
                    done += 1
        return done

    outcomes = at_once(*[work] * 4)
    assert sum(outcomes) == len(ids)
    with ledger.database.read() as session:
        results = session.scalars(select(Event.shard_id).where(Event.level == "test")).all()
    assert sorted(results) == sorted(ids)
    assert {shard.attempt for shard in shards_of(ledger, job)} == {1}


def test_files_that_two_jobs_make_at_once_are_registered_once(
    ledger: Ledger, dataset: int, tmp_path: Any, at_once: Rivals
) -> None:
    """Two searches of one data set make many of the same patches."""
    from worker.kinds.common import keep
    from worker.runner import ShardContext

    store = Store(tmp_path / "store")
    for turn in range(FEW):
        files = [store.put(f"{turn} {number}".encode(), ".png") for number in range(10)]
        claims = []
        for seed in (2 * turn, 2 * turn + 1):
            job, _ = ledger.submit(top9(dataset, seed=seed))
            claims.append(claimed(ledger, queued(ledger, job)[0]))

        def complete(own: Ledger, claim: Claim, order: int, files: list[Any] = files) -> None:
            context = ShardContext(claim, own, store, "cpu")
            context.complete(lambda session: keep(context, session, files[::order]))

        outcomes = at_once(
            lambda own: complete(own, claims[0], 1),  # noqa: B023
            lambda own: complete(own, claims[1], -1),  # noqa: B023
        )
        assert outcomes == [None, None]
        with ledger.database.read() as session:
            assert len(session.scalars(select(Artifact)).all()) == 10 * (turn + 1)


# --- fail ---


def test_a_failed_attempt_is_queued_again_with_its_error_kept(ledger: Ledger, job: int) -> None:
    shard_id = queued(ledger, job)[0]
    ledger.take_unsent()
    ledger.fail(claimed(ledger, shard_id), "out of memory", again=True)
    shard = shards_of(ledger, job)[0]
    assert (shard.state, shard.attempt, shard.error) == ("queued", 1, "out of memory")
    assert (shard.token, shard.lease_until, shard.sent_at) == (None, None, None)
    assert ledger.take_unsent() == [(shard_id, "analysis")]
    assert (job_of(ledger, job).state, job_of(ledger, job).shards_left) == ("running", 6)


def test_the_third_failed_attempt_fails_the_job(ledger: Ledger, job: int) -> None:
    first, second = queued(ledger, job)
    ledger.complete(claimed(ledger, second))
    for attempt in range(1, MAX_ATTEMPTS + 1):
        claim = claimed(ledger, first)
        assert claim.attempt == attempt
        assert job_of(ledger, job).state == "running"
        ledger.fail(claim, f"error {attempt}", again=True)
    assert states(ledger, job) == ["failed", "done", "cancelled", "cancelled", "cancelled", "cancelled"]
    assert shards_of(ledger, job)[0].error == "error 3"
    row = job_of(ledger, job)
    assert (row.state, row.error, row.shards_left) == ("failed", "error 3", 5)
    assert row.finished_at is not None
    assert ledger.claim(first, "w") is None
    assert {"error 1", "error 2", "error 3"} <= set(messages(ledger, job))


def test_a_known_error_fails_the_job_at_once_and_stops_the_other_workers(ledger: Ledger, job: int) -> None:
    first, second = (claimed(ledger, shard_id) for shard_id in queued(ledger, job))
    ledger.fail(first, "the weights are broken", again=False)
    assert states(ledger, job) == ["failed"] + ["cancelled"] * 5
    assert job_of(ledger, job).error == "the weights are broken"
    with pytest.raises(LeaseLost):
        ledger.heartbeat(second, 1)


def test_an_error_is_kept_whatever_it_holds(ledger: Ledger, dataset: int) -> None:
    errors = ["ünïcödé ✓", "", "long " * 10**5, "NUL \x00 in it", "name \udcff that is not UTF-8"]
    for seed, error in enumerate(errors):
        job, _ = ledger.submit(top9(dataset, seed=seed))
        ledger.fail(claimed(ledger, queued(ledger, job)[0]), error, again=False)
        assert job_of(ledger, job).state == JobState.FAILED
        assert (job_of(ledger, job).error or "")[:4] == error[:4]


def test_two_that_fail_at_once_fail_the_job_once(ledger: Ledger, dataset: int, at_once: Rivals) -> None:
    for seed in range(FEW):
        job, _ = ledger.submit(top9(dataset, seed=seed))
        claims = [claimed(ledger, shard_id) for shard_id in queued(ledger, job)]
        outcomes = at_once(
            *[lambda own, claim=claim: own.fail(claim, "broken", again=False) for claim in claims],
        )
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["LeaseLost", "NoneType"]
        assert sorted(states(ledger, job)[:2]) == ["cancelled", "failed"]
        assert messages(ledger, job).count("job failed") == 1


# --- sweep ---


def test_sweep_takes_back_expired_leases_only(ledger: Ledger, dataset: int) -> None:
    job, _ = ledger.submit(top9(dataset, search=3))
    ledger.take_unsent()
    dead, alive, _ = queued(ledger, job)
    die(ledger, dead)
    claimed(ledger, alive)
    assert ledger.sweep() == 1
    assert states(ledger, job)[:3] == ["queued", "running", "queued"]
    shard = shards_of(ledger, job)[0]
    assert (shard.attempt, shard.token, shard.lease_until) == (1, None, None)
    assert ledger.take_unsent() == [(dead, "analysis")]
    assert any("fell silent in attempt 1 of 3" in message for message in messages(ledger, job))
    assert ledger.sweep() == 0


def test_a_lease_runs_out_by_itself(ledger: Ledger, job: int) -> None:
    """With a lease that is over as soon as it begins."""
    short = Ledger(ledger.database, lease_seconds=-1e-3)
    shard_id = queued(ledger, job)[0]
    for attempt in (1, 2, 3):
        assert claimed(short, shard_id).attempt == attempt
        assert short.sweep() == 1
    assert job_of(ledger, job).state == JobState.FAILED


def test_sweep_fails_the_job_of_a_shard_that_has_had_its_attempts(ledger: Ledger, job: int) -> None:
    shard_id = queued(ledger, job)[0]
    for _ in range(MAX_ATTEMPTS):
        assert job_of(ledger, job).state in ("queued", "running")
        die(ledger, shard_id)
        assert ledger.sweep() == 1
    assert states(ledger, job) == ["failed"] + ["cancelled"] * 5
    row = job_of(ledger, job)
    assert row.state == JobState.FAILED
    assert "fell silent in attempt 3 of 3" in (row.error or "")
    assert "fell silent" in (shards_of(ledger, job)[0].error or "")


def test_sweep_leaves_no_shard_of_a_job_that_it_fails(ledger: Ledger, dataset: int) -> None:
    """Several leases have run out, one of them of a last attempt, whichever comes first."""
    for last in range(3):
        job, _ = ledger.submit(top9(dataset, search=3, seed=last))
        for place, shard_id in enumerate(queued(ledger, job)):
            die(ledger, shard_id, times=MAX_ATTEMPTS if place == last else 1)
        ledger.sweep()
        assert job_of(ledger, job).state == JobState.FAILED
        assert not set(states(ledger, job)) & set(ACTIVE)
        assert ledger.take_unsent() == []
        assert messages(ledger, job).count("job failed") == 1


def test_two_sweepers_at_once_take_back_every_shard_once(ledger: Ledger, dataset: int, at_once: Rivals) -> None:
    for seed in range(FEW):
        job, _ = ledger.submit(top9(dataset, search=4, seed=seed))
        for shard_id in queued(ledger, job):
            die(ledger, shard_id)
        outcomes = at_once(*[lambda own: own.sweep()] * 2)
        assert sum(outcomes) == 4
        assert states(ledger, job)[:4] == ["queued"] * 4
        assert sum("fell silent" in message for message in messages(ledger, job)) == 4


def test_two_sweepers_at_once_fail_a_job_once(ledger: Ledger, dataset: int, at_once: Rivals) -> None:
    for seed in range(FEW):
        job, _ = ledger.submit(top9(dataset, seed=seed))
        die(ledger, queued(ledger, job)[0], times=MAX_ATTEMPTS)
        outcomes = at_once(*[lambda own: own.sweep()] * 2)
        assert sum(outcomes) == 1
        assert messages(ledger, job).count("job failed") == 1


def test_the_sweeper_sees_a_heartbeat_that_is_under_way(ledger: Ledger, job: int, at_once: Rivals) -> None:
    """The lease is over when the sweeper looks, and extended when it has waited for the row."""
    claim = claimed(ledger, queued(ledger, job)[0])
    expire(ledger, claim.shard_id)
    swept: list[int] = []
    thread = threading.Thread(target=lambda: swept.append(at_once.ledgers[0].sweep()))

    def meanwhile(session: Any) -> None:
        thread.start()
        thread.join(0.5)  # it waits for us

    ledger.record(claim, meanwhile)
    thread.join()
    assert swept == [0]
    assert states(ledger, job)[0] == "running"
    ledger.complete(claim)


def test_a_heartbeat_that_comes_with_the_sweeper(ledger: Ledger, dataset: int, at_once: Rivals) -> None:
    """Either the worker keeps its shard, or it is told that it has lost it."""
    for seed in range(FEW):
        job, _ = ledger.submit(top9(dataset, seed=seed))
        claim = claimed(ledger, queued(ledger, job)[0])
        expire(ledger, claim.shard_id)
        beat, swept = at_once(lambda own: own.heartbeat(claim, 1), lambda own: own.sweep())  # noqa: B023
        state = states(ledger, job)[0]
        assert (beat, swept, state) in [(False, 0, "running"), (beat, 1, "queued")]
        assert beat is False or isinstance(beat, LeaseLost)
        if state == "running":
            ledger.complete(claim)


# --- cancel ---


def test_cancel_of_an_idle_job_is_at_once(ledger: Ledger, job: int, at_once: Rivals) -> None:
    finish_stage(ledger, job)
    assert ledger.cancel(job) == "cancelled"
    assert states(ledger, job) == ["done", "done"] + ["cancelled"] * 4
    row = job_of(ledger, job)
    assert (row.state, row.shards_left) == ("cancelled", 4)
    assert row.finished_at is not None


def test_cancel_waits_for_the_workers_to_notice(ledger: Ledger, job: int) -> None:
    first, second = (claimed(ledger, shard_id) for shard_id in queued(ledger, job))
    assert ledger.cancel(job) == "running"
    assert states(ledger, job) == ["running", "running"] + ["cancelled"] * 4
    ledger.confirm_cancelled(first)
    assert job_of(ledger, job).state == "running"
    ledger.confirm_cancelled(second)
    assert job_of(ledger, job).state == "cancelled"
    assert states(ledger, job) == ["cancelled"] * 6


def test_two_workers_that_confirm_a_cancel_at_once_end_the_job(
    ledger: Ledger, dataset: int, at_once: Rivals
) -> None:
    for seed in range(FEW):
        job, _ = ledger.submit(top9(dataset, seed=seed))
        first, second = (claimed(ledger, shard_id) for shard_id in queued(ledger, job))
        ledger.cancel(job)
        outcomes = at_once(
            lambda own: own.confirm_cancelled(first),  # noqa: B023
            lambda own: own.confirm_cancelled(second),  # noqa: B023
        )
        assert outcomes == [None, None]
        assert job_of(ledger, job).state == "cancelled"
        assert messages(ledger, job).count("job cancelled") == 1


def test_cancel_twice_is_the_same_as_once(ledger: Ledger, job: int) -> None:
    claim = claimed(ledger, queued(ledger, job)[0])
    assert ledger.cancel(job) == "running"
    assert ledger.cancel(job) == "running"
    ledger.confirm_cancelled(claim)
    before = dump(ledger)
    assert ledger.cancel(job) == "cancelled"
    assert dump(ledger) == before


def test_a_worker_that_is_done_before_it_notices_a_cancel_ends_the_job(ledger: Ledger, job: int) -> None:
    first, second = (claimed(ledger, shard_id) for shard_id in queued(ledger, job))
    ledger.cancel(job)
    ledger.complete(first)
    assert job_of(ledger, job).state == "running"
    ledger.complete(second)
    assert states(ledger, job) == ["done", "done"] + ["cancelled"] * 4
    assert job_of(ledger, job).state == "cancelled"


def test_a_cancel_that_comes_with_the_last_shard_of_a_stage_ends_the_job(
    ledger: Ledger, dataset: int, at_once: Rivals
) -> None:
    for seed in range(RACES):
        job, _ = ledger.submit(top9(dataset, search=1, seed=seed))
        claim = claimed(ledger, queued(ledger, job)[0])
        outcomes = at_once(
            lambda own: own.complete(claim),  # noqa: B023
            lambda own: own.cancel(job),  # noqa: B023
        )
        assert outcomes[0] is None
        assert outcomes[1] in ("running", "cancelled")
        assert states(ledger, job) == ["done"] + ["cancelled"] * 3
        assert job_of(ledger, job).state == "cancelled"


def test_a_job_whose_last_shard_is_done_before_it_notices_a_cancel_is_done(ledger: Ledger, job: int) -> None:
    for _ in range(3):
        finish_stage(ledger, job)
    claim = claimed(ledger, queued(ledger, job)[0])
    assert ledger.cancel(job) == "running"
    ledger.complete(claim)
    assert job_of(ledger, job).state == "done"


def test_a_cancelled_job_whose_worker_died_is_ended_by_the_sweeper(ledger: Ledger, job: int) -> None:
    first, second = queued(ledger, job)
    die(ledger, first)
    die(ledger, second, times=MAX_ATTEMPTS)
    ledger.cancel(job)
    assert ledger.sweep() == 2
    assert states(ledger, job) == ["cancelled"] * 6
    assert job_of(ledger, job).state == "cancelled"


def test_a_failure_after_a_cancel_request_ends_the_job(ledger: Ledger, job: int) -> None:
    claim = claimed(ledger, queued(ledger, job)[0])
    ledger.cancel(job)
    ledger.fail(claim, "out of memory", again=True)
    assert job_of(ledger, job).state in ("cancelled", "failed")
    assert not set(states(ledger, job)) & set(ACTIVE)


def test_a_job_that_is_over_is_not_cancelled(ledger: Ledger, dataset: int) -> None:
    done, _ = ledger.submit(top9(dataset, seed=1))
    for _ in range(4):
        finish_stage(ledger, done)
    failed, _ = ledger.submit(top9(dataset, seed=2))
    ledger.fail(claimed(ledger, queued(ledger, failed)[0]), "broken", again=False)
    before = dump(ledger)
    with pytest.raises(JobStateConflict, match="is done"):
        ledger.cancel(done)
    with pytest.raises(JobStateConflict, match="is failed"):
        ledger.cancel(failed)
    assert dump(ledger) == before


def test_a_claim_that_comes_with_a_cancel(ledger: Ledger, dataset: int, at_once: Rivals) -> None:
    """Either the worker has the shard and is told, or it doesn't get it: the job ends both ways."""
    for seed in range(FEW):
        job, _ = ledger.submit(top9(dataset, seed=seed))
        shard_id = queued(ledger, job)[0]
        claim, state = at_once(lambda own: own.claim(shard_id, "w"), lambda own: own.cancel(job))  # noqa: B023
        assert state == ("running" if claim else "cancelled")
        if claim:
            assert ledger.heartbeat(claim, 0) is True
            ledger.confirm_cancelled(claim)
        assert job_of(ledger, job).state == "cancelled"


# --- retry ---


def test_retry_keeps_done_shards_and_begins_where_the_job_stopped(ledger: Ledger, job: int) -> None:
    finish_stage(ledger, job)
    finish_stage(ledger, job)
    first, second = queued(ledger, job)
    ledger.complete(claimed(ledger, first), result_path="ab/c.npz")
    ledger.take_unsent()
    for _ in range(MAX_ATTEMPTS):
        ledger.fail(claimed(ledger, second), "broken", again=True)
    ledger.retry(job)
    assert states(ledger, job) == ["done", "done", "done", "done", "queued", "waiting"]
    row = job_of(ledger, job)
    assert (row.state, row.stage, row.shards_left, row.error) == ("queued", 2, 2, None)
    assert (row.cancel_requested, row.finished_at) == (False, None)
    shards = shards_of(ledger, job)
    assert shards[3].result_path == "ab/c.npz"
    assert ledger.take_unsent() == [(second, "analysis")]
    assert claimed(ledger, second).attempt == 1


def test_a_retried_shard_looks_as_if_it_had_never_begun(ledger: Ledger, job: int) -> None:
    claim = claimed(ledger, queued(ledger, job)[0])
    ledger.heartbeat(claim, 20)
    ledger.fail(claim, "broken", again=False)
    ledger.retry(job)
    for shard in shards_of(ledger, job):
        assert (shard.attempt, shard.error, shard.sent_at, shard.token) == (0, None, None, None)
        assert (shard.work_done, shard.started_at, shard.finished_at) == (0, None, None)


def test_a_cancelled_job_is_taken_up_again_and_can_be_done(ledger: Ledger, job: int) -> None:
    claim = claimed(ledger, queued(ledger, job)[0])
    ledger.cancel(job)
    ledger.confirm_cancelled(claim)
    ledger.retry(job)
    assert states(ledger, job) == ["queued", "queued", "waiting", "waiting", "waiting", "waiting"]
    while job_of(ledger, job).state != JobState.DONE:
        assert ledger.heartbeat(claimed(ledger, queued(ledger, job)[0]), 0) is False
        expire(ledger, next(s.id for s in shards_of(ledger, job) if s.state == "running"))
        ledger.sweep()
        finish_stage(ledger, job)
    assert job_of(ledger, job).shards_left == 0


def test_a_job_under_way_or_done_is_not_retried(ledger: Ledger, job: int) -> None:
    with pytest.raises(JobStateConflict, match="is queued"):
        ledger.retry(job)
    finish_stage(ledger, job)
    with pytest.raises(JobStateConflict, match="is running"):
        ledger.retry(job)
    for _ in range(3):
        finish_stage(ledger, job)
    before = dump(ledger)
    with pytest.raises(JobStateConflict, match="is done"):
        ledger.retry(job)
    assert dump(ledger) == before


def test_two_that_retry_at_once_do_it_once(ledger: Ledger, dataset: int, at_once: Rivals) -> None:
    for seed in range(FEW):
        job, _ = ledger.submit(top9(dataset, seed=seed))
        ledger.cancel(job)
        outcomes = at_once(*[lambda own: own.retry(job)] * 2)  # noqa: B023
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["JobStateConflict", "NoneType"]
        assert messages(ledger, job).count("retry requested") == 1


# --- sending ---


def test_take_unsent_gives_every_shard_once(ledger: Ledger, job: int) -> None:
    first, second = queued(ledger, job)
    assert ledger.take_unsent() == [(first, "analysis"), (second, "analysis")]
    assert ledger.take_unsent() == []
    finish_stage(ledger, job)
    select_shard = queued(ledger, job)
    assert ledger.take_unsent() == [(select_shard[0], CPU)]


def test_take_unsent_takes_no_more_than_asked(ledger: Ledger, dataset: int) -> None:
    job, _ = ledger.submit(top9(dataset, search=7))
    ids = queued(ledger, job)
    batches = [[shard_id for shard_id, _ in ledger.take_unsent(limit=3)] for _ in range(4)]
    assert batches == [ids[:3], ids[3:6], ids[6:], []]


def test_senders_at_once_get_every_shard_once(ledger: Ledger, dataset: int, at_once: Rivals) -> None:
    for seed in range(FEW):
        job, _ = ledger.submit(top9(dataset, search=40, seed=seed))

        def take(own: Ledger) -> list[int]:
            taken: list[int] = []
            while batch := own.take_unsent(limit=3):
                taken += [shard_id for shard_id, _ in batch]
            return taken

        outcomes = at_once(*[take] * 3)
        taken = [shard_id for outcome in outcomes for shard_id in outcome]
        assert sorted(taken) == queued(ledger, job)


def test_mark_unsent_makes_a_message_due_for_what_is_still_queued(ledger: Ledger, job: int) -> None:
    first, second = (shard_id for shard_id, _ in ledger.take_unsent())
    claimed(ledger, first)
    ledger.mark_unsent([first, second])
    assert ledger.take_unsent() == [(second, "analysis")]
    ledger.mark_unsent([])
    assert ledger.take_unsent() == []


def test_mark_lost_is_for_old_messages_of_an_empty_queue_only(ledger: Ledger, dataset: int) -> None:
    job, _ = ledger.submit(top9(dataset, search=3))
    claimed_one, old, _ = (shard_id for shard_id, _ in ledger.take_unsent())
    claimed(ledger, claimed_one)
    assert ledger.mark_lost("analysis", 1000.0) == 0
    with ledger.database.write() as session:
        session.execute(update(Shard).where(Shard.id.in_([claimed_one, old])).values(sent_at=1.0))
    assert ledger.mark_lost("cpu", 1000.0) == 0
    assert ledger.mark_lost("analysis", 1000.0) == 1
    assert ledger.take_unsent() == [(old, "analysis")]
    assert ledger.mark_lost("analysis", 1000.0) == 0
    assert states(ledger, job)[:3] == ["running", "queued", "queued"]


@pytest.mark.parametrize(
    "look_after",
    [
        lambda own, ids: own.mark_lost("analysis", -1.0),
        lambda own, ids: own.mark_unsent(ids),
        lambda own, ids: own.take_unsent(),
        lambda own, ids: own.sweep(),
    ],
    ids=["mark_lost", "mark_unsent", "take_unsent", "sweep"],
)
def test_looking_after_messages_is_no_deadlock_with_a_change_of_the_job(
    ledger: Ledger, dataset: int, at_once: Rivals, look_after: Callable[[Ledger, list[int]], Any]
) -> None:
    """Cancel, retry and the end of a job change many shards, in no special order, in one transaction: here in the
    midst of it somebody else comes along who looks at the same shards in another order."""
    job, _ = ledger.submit(top9(dataset, search=4))
    ids = queued(ledger, job)
    if look_after.__code__.co_names[0] != "take_unsent":
        ledger.take_unsent()
    failures: list[Exception] = []

    def run() -> None:
        try:
            look_after(at_once.ledgers[0], ids)
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    with ledger.database.write() as session:
        session.execute(select(Job).where(Job.id == job).with_for_update(key_share=True))
        session.execute(update(Shard).where(Shard.id == ids[-1]).values(state="cancelled"))
        thread.start()
        thread.join(0.5)  # it is done, or it waits for us
        session.execute(update(Shard).where(Shard.id == ids[0]).values(state="cancelled"))
    thread.join()
    assert failures == []
    assert states(ledger, job)[:4] == ["cancelled", "queued", "queued", "cancelled"]


# --- jobs that are not there ---


def test_what_is_asked_of_a_job_that_is_not_there(ledger: Ledger) -> None:
    for call in (ledger.cancel, ledger.retry):
        with pytest.raises(NoSuchJob, match="no job 4711") as raised:
            call(4711)
        assert raised.value.exit_code == 4


# --- workers ---


def test_a_worker_is_alive_while_it_is_seen(ledger: Ledger) -> None:
    ledger.worker_seen("gpu-0", "cuda:0", ["training", "analysis"], 42)
    ledger.worker_seen("cpu", "cpu", ["cpu"], 43)
    ledger.worker_seen("gpu-0", "cuda:0", ["analysis"], 44)
    assert [(w.name, w.queues, w.pid) for w in ledger.live_workers()] == [
        ("cpu", ["cpu"], 43),
        ("gpu-0", ["analysis"], 44),
    ]
    with ledger.database.write() as session:
        session.execute(text("UPDATE workers SET seen_at = seen_at - 3600 WHERE name = 'cpu'"))
    assert [worker.name for worker in ledger.live_workers()] == ["gpu-0"]
    ledger.worker_gone("gpu-0")
    ledger.worker_gone("never seen")
    assert ledger.live_workers() == []


def test_what_a_stopped_worker_held_is_queued_again_and_the_attempt_does_not_count(
    ledger: Ledger, job: int
) -> None:
    first, second = queued(ledger, job)
    ledger.take_unsent()
    ledger.worker_seen("cpu", "cpu", ["cpu"], 43)
    die(ledger, first)
    stopped = claimed(ledger, first, "cpu")
    other = claimed(ledger, second, "other")
    ledger.worker_gone("cpu")
    assert states(ledger, job)[:2] == ["queued", "running"]
    assert shards_of(ledger, job)[0].attempt == 1
    assert ledger.take_unsent() == [(first, "analysis")]
    with pytest.raises(LeaseLost):
        ledger.complete(stopped)
    ledger.complete(other)
    ledger.worker_gone("cpu")
    assert claimed(ledger, first).attempt == 2


def test_a_cancelled_job_ends_with_the_worker_that_is_stopped(ledger: Ledger, job: int) -> None:
    for shard_id in queued(ledger, job):
        claimed(ledger, shard_id, "cpu")
    ledger.cancel(job)
    ledger.worker_gone("cpu")
    assert states(ledger, job) == ["cancelled"] * 6
    assert job_of(ledger, job).state == "cancelled"


# --- the schema's own guard ---


def values(ledger: Ledger, dataset: int, job: int) -> dict[str, dict[str, Any]]:
    """A good row of each guarded table."""
    return {
        "jobs": {
            "kind": "top9", "key": "cd" * 32, "generation": 7, "specification": {}, "dataset_id": dataset,
            "state": "queued", "stage": 0, "shards_total": 3, "shards_left": 3, "cancel_requested": False,
        },
        "shards": {
            "job_id": job, "stage": 9, "stage_name": "search", "number": 99, "queue": "cpu", "payload": {},
            "state": "queued", "attempt": 0, "token": None, "lease_until": None, "work_done": 0, "work_total": 1,
        },
        "images": {
            "dataset_id": dataset, "path": "a.jpg", "object_number": 1, "class_index": 0, "class_name": "cat",
            "width": 100, "height": 50, "box_left": 0, "box_top": 0, "box_right": 100, "box_bottom": 50,
            "sha256": SHA256,
        },
    }  # fmt: skip


def put(ledger: Ledger, table: str, row: dict[str, Any]) -> None:
    model = {"jobs": Job, "shards": Shard, "images": Image}[table]
    with ledger.database.write() as session:
        session.execute(insert(model), [row])


GOOD: list[tuple[str, dict[str, Any]]] = [
    ("jobs", {}),
    ("jobs", {"shards_left": 0, "state": "done"}),
    ("shards", {}),
    ("shards", {"state": "running", "token": "t", "lease_until": 1.0, "attempt": 3}),
    ("images", {}),
    ("images", {"box_left": None, "box_top": None, "box_right": None, "box_bottom": None}),
    ("images", {"box_left": 99, "box_top": 49}),
]

NONSENSE: list[tuple[str, dict[str, Any]]] = [
    ("jobs", {"state": "paused"}),
    ("jobs", {"state": "DONE"}),
    ("jobs", {"shards_left": -1}),
    ("jobs", {"shards_left": 4}),
    ("jobs", {"dataset_id": 999_999}),
    ("shards", {"state": "running"}),
    ("shards", {"state": "running", "token": "t"}),
    ("shards", {"state": "running", "lease_until": 1.0}),
    ("shards", {"state": "done", "token": "t", "lease_until": 1.0}),
    ("shards", {"state": "lost"}),
    ("shards", {"attempt": 4}),
    ("shards", {"attempt": -1}),
    ("shards", {"job_id": 999_999}),
    ("images", {"box_left": -1}),
    ("images", {"box_top": -1}),
    ("images", {"box_right": 101}),
    ("images", {"box_bottom": 51}),
    ("images", {"box_left": 100}),
    ("images", {"box_top": 50}),
    ("images", {"width": 0}),
    ("images", {"height": -5}),
    ("images", {"box_left": None}),
    ("images", {"box_right": None, "box_bottom": None}),
    ("images", {"box_left": None, "box_top": None, "box_right": None}),
    ("images", {"dataset_id": 999_999}),
]


def test_the_schema_refuses_nonsense_and_takes_what_is_good(ledger: Ledger, dataset: int, job: int) -> None:
    good = values(ledger, dataset, job)
    taken = []
    for table, change in NONSENSE:
        try:
            put(ledger, table, good[table] | change)
        except IntegrityError:
            continue
        taken.append((table, change))
        with ledger.database.write() as session:
            session.execute(text("DELETE FROM images"))
    assert taken == []
    for number, (table, change) in enumerate(GOOD):
        unique = {"jobs": "generation", "shards": "number", "images": "object_number"}[table]
        put(ledger, table, good[table] | change | {unique: number})


def test_the_schema_refuses_the_same_twice(ledger: Ledger, dataset: int, job: int) -> None:
    good = values(ledger, dataset, job)
    for table, row in good.items():
        put(ledger, table, row)
        with pytest.raises(IntegrityError):
            put(ledger, table, row)
