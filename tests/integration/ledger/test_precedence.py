"""Which shard a worker claims on a message: priorities of jobs, and pauses of long shards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from producer.results.progress import job_progress, list_jobs
from shared.errors import JobStateConflict
from shared.jobs.ledger import RESUMED, Claim, ContinuedElsewhere, LeaseLost, Ledger, LeftToOthers
from shared.jobs.left_out import LEFT_OUT
from shared.jobs.precedence import Taker
from shared.jobs.priority import Priority
from shared.jobs.tables import Counter, JobState, Shard
from shared.jobs.workers import is_idle
from shared.kinds.specification import ANALYSIS, CPU, QUEUES, TRAINING
from shared.store.store import Store
from tests.integration.ledger.helpers import (
    Rivals,
    claimed,
    expire,
    finish,
    job_of,
    messages,
    pause_is_over,
    queued,
    shards_of,
    states,
    top9,
    training,
)
from worker.missing_data import MissingData
from worker.runner import Paused, ShardContext

GPU, SAME_KIND, CPU_BESIDE, ELSEWHERE = (
    "a-cuda0-000000",
    "a-cuda1-000001",
    "a-cpu-000002",
    "b-cuda0-000003",
)


def message(ledger: Ledger, shard_id: int, worker: str = "w", queues: tuple[str, ...] = QUEUES) -> Claim | None:
    """Claim on a message of a shard, as a worker does that serves these queues."""
    return ledger.claim(shard_id, worker, queues=queues)


def job_claimed(ledger: Ledger, shard_id: int, worker: str = "w", queues: tuple[str, ...] = QUEUES) -> int:
    claim = message(ledger, shard_id, worker, queues)
    assert claim is not None
    return claim.job_id


def counted(ledger: Ledger, name: str) -> float:
    with ledger.database.read() as session:
        return sum(row.value for row in session.query(Counter).where(Counter.name == name))


# --- priorities ---


def test_a_message_makes_a_worker_run_the_job_of_the_highest_priority(ledger: Ledger, dataset: int) -> None:
    normal, _ = ledger.submit(top9(dataset))
    low, _ = ledger.submit(top9(dataset, seed=1), priority=Priority.LOW)
    high, _ = ledger.submit(top9(dataset, seed=2), priority=Priority.HIGH)
    assert len(ledger.take_unsent()) == 6
    first = queued(ledger, low)[0]
    assert [job_claimed(ledger, first) for _ in range(4)] == [high, high, normal, normal]
    assert ledger.take_unsent() == [(first, ANALYSIS)]  # once, since it was marked before it was sent again
    assert job_claimed(ledger, first) == low
    assert counted(ledger, "messages_ignored") == 0
    assert message(ledger, shards_of(ledger, high)[0].id) is None  # its own message comes later
    assert {row["id"]: row["priority"] for row in list_jobs(ledger.database, None, None, 9)} == {
        normal: "normal",
        low: "low",
        high: "high",
    }


def test_a_worker_takes_only_what_it_can_run(ledger: Ledger, dataset: int) -> None:
    normal, _ = ledger.submit(training(dataset))
    high, _ = ledger.submit(top9(dataset), priority=Priority.HIGH)
    (own,) = queued(ledger, normal)
    taker = Taker("w", QUEUES)
    assert ledger.first(own, taker) in queued(ledger, high)
    assert ledger.first(own, Taker("w", (TRAINING, CPU))) == own  # it does not serve the other's queue
    assert ledger.first(own, Taker("w", QUEUES, missing=[dataset])) == own
    assert ledger.first(own, Taker("w")) == own
    for shard_id in queued(ledger, high):  # its machine has handed them back
        ledger.worker_seen("b:1", "cpu", QUEUES, 1)
        ledger.hand_back(claimed(ledger, shard_id, "a:1"), "no such folder", "a:1")
    assert ledger.first(own, Taker("a:2", QUEUES)) == own
    assert ledger.first(own, Taker("b:1", QUEUES)) in queued(ledger, high)
    ledger.cancel(high)
    assert job_claimed(ledger, own) == normal


def test_the_priority_of_a_job_can_be_changed_until_it_is_done(ledger: Ledger, dataset: int) -> None:
    first, _ = ledger.submit(top9(dataset))
    second, _ = ledger.submit(top9(dataset, seed=1))
    ledger.set_priority(second, Priority.HIGH)
    assert job_claimed(ledger, queued(ledger, first)[0]) == second
    ledger.set_priority(second, Priority.LOW)
    assert job_claimed(ledger, queued(ledger, second)[0]) == first
    assert messages(ledger, second)[-1] == "priority: low"
    assert job_progress(ledger.database, second).as_json()["priority"] == "low"
    expire(ledger, shards_of(ledger, first)[0].id)
    done, _ = ledger.submit(top9(dataset, seed=2))
    finish(ledger, done)
    with pytest.raises(JobStateConflict, match="is done"):
        ledger.set_priority(done, Priority.HIGH)


def test_workers_that_ask_at_once_take_different_shards(ledger: Ledger, dataset: int, at_once: Rivals) -> None:
    low, _ = ledger.submit(top9(dataset, search=4), priority=Priority.LOW)
    high, _ = ledger.submit(top9(dataset, search=4, seed=1), priority=Priority.HIGH)
    ids = queued(ledger, low)
    claims = at_once(*[lambda own, shard_id=shard_id: message(own, shard_id) for shard_id in ids])
    assert sorted(claim.shard_id for claim in claims) == [shard.id for shard in shards_of(ledger, high)][:4]
    assert states(ledger, low)[:4] == ["queued"] * 4


# --- pauses ---


def test_a_shard_that_pauses_lets_other_queues_run_and_keeps_its_work(ledger: Ledger, dataset: int) -> None:
    run, _ = ledger.submit(training(dataset))
    (shard_id,) = queued(ledger, run)
    claim = claimed(ledger, shard_id, GPU)
    taker = Taker(GPU, QUEUES)
    assert ledger.work_before(claim, taker, slice_is_over=True) is None
    search, _ = ledger.submit(top9(dataset))
    ledger.submit(training(dataset, seed=1))  # of the same queue: it waits for the end of the run
    assert ledger.work_before(claim, taker, slice_is_over=False) is None
    assert ledger.work_before(claim, taker, slice_is_over=True) == search
    assert ledger.work_before(claim, Taker(GPU, [TRAINING]), slice_is_over=True) is None
    ledger.pause(claim, 24, 60.0, f"since job {search} waits")
    (shard,) = shards_of(ledger, run)
    assert (shard.state, shard.attempt, shard.token, shard.sent_at) == ("queued", 0, None, None)
    assert job_of(ledger, run).state == JobState.RUNNING
    assert job_progress(ledger.database, run).share == pytest.approx(0.2)
    assert messages(ledger, run)[-1] == f"train: pauses, since job {search} waits"
    with pytest.raises(LeaseLost):
        ledger.heartbeat(claim, 36)
    assert [job_claimed(ledger, shard_id, GPU) for _ in range(2)] == [search, search]
    assert job_claimed(ledger, shard_id, GPU) == run  # nothing else waits
    again = shards_of(ledger, run)[0]
    assert (again.attempt, again.work_done, again.payload[RESUMED], again.paused_until) == (1, 24, 24, None)
    assert counted(ledger, "attempts_failed") == counted(ledger, "leases_lost") == 0


def test_a_pause_keeps_what_the_attempt_has_recorded(ledger: Ledger, dataset: int) -> None:
    run, _ = ledger.submit(training(dataset))
    (shard_id,) = queued(ledger, run)
    claim = claimed(ledger, shard_id, GPU)
    with ledger.database.write() as session:
        shard = session.get_one(Shard, shard_id)
        shard.payload = {**shard.payload, LEFT_OUT: 3}
    ledger.pause(claim, 24, 60.0, "others wait")
    assert (shards_of(ledger, run)[0].payload[LEFT_OUT], shards_of(ledger, run)[0].payload[RESUMED]) == (3, 24)
    pause_is_over(ledger, shard_id)
    ledger.worker_seen(ELSEWHERE, "cuda:0", QUEUES, 1)
    ledger.hand_back(claimed(ledger, shard_id, GPU), "no such folder", GPU)
    assert shards_of(ledger, run)[0].payload[LEFT_OUT] == 3


def test_a_message_of_a_queue_that_a_worker_does_not_serve(ledger: Ledger, dataset: int) -> None:
    run, other = ledger.submit(training(dataset))[0], ledger.submit(training(dataset, seed=1))[0]
    ledger.worker_seen(GPU, "cuda:0", QUEUES, 1)
    ledger.pause(claimed(ledger, queued(ledger, run)[0], GPU), 12, 60.0, "others wait")
    # Forged, or of a worker whose queues were changed: it can't take the shard that pauses instead.
    assert job_claimed(ledger, queued(ledger, other)[0], SAME_KIND, (ANALYSIS, CPU)) == other


def test_other_runs_wait_for_the_end_of_one_that_pauses(ledger: Ledger, dataset: int) -> None:
    run, _ = ledger.submit(training(dataset))
    other, _ = ledger.submit(training(dataset, seed=1))
    search, _ = ledger.submit(top9(dataset, search=1))
    (first,), (second,) = queued(ledger, run), queued(ledger, other)
    ledger.worker_seen(GPU, "cuda:0", QUEUES, 1)
    ledger.pause(claimed(ledger, first, GPU), 12, 60.0, f"since job {search} waits")
    ledger.take_unsent()
    assert ledger.first(second, Taker(GPU, QUEUES)) in queued(ledger, search)
    assert job_claimed(ledger, second, GPU) == search  # in the pause
    assert ledger.first(second, Taker(GPU, QUEUES)) == first
    claim = message(ledger, second, GPU)  # nothing else waits
    assert claim is not None
    assert claim.job_id == run
    assert [shard_id for shard_id, _ in ledger.take_unsent()] == [second]
    ledger.pause(claim, 24, 60.0, "others wait")
    assert job_claimed(ledger, second, ELSEWHERE) == other  # a machine that may not continue it
    ledger.cancel(other)
    (third,) = queued(ledger, ledger.submit(training(dataset, seed=2))[0])
    pause_is_over(ledger, first)
    ledger.submit(top9(dataset, seed=1))
    assert job_claimed(ledger, third, GPU) == run


def test_high_priority_runs_take_turns_on_messages_of_low_priority(ledger: Ledger, dataset: int) -> None:
    low, _ = ledger.submit(top9(dataset), priority=Priority.LOW)
    run, _ = ledger.submit(training(dataset), priority=Priority.HIGH)
    ledger.submit(training(dataset, seed=1), priority=Priority.HIGH)
    search, _ = ledger.submit(top9(dataset, search=1, seed=1), priority=Priority.HIGH)
    received = queued(ledger, low)[0]
    assert job_claimed(ledger, received, GPU) == run
    (shard,) = shards_of(ledger, run)
    expire(ledger, shard.id)
    ledger.pause(claimed(ledger, shard.id, GPU), 12, 60.0, f"since job {search} waits")
    assert [job_claimed(ledger, received, GPU) for _ in range(2)] == [search, run]


def test_a_pause_ends_although_others_wait(ledger: Ledger, dataset: int) -> None:
    run, _ = ledger.submit(training(dataset))
    (shard_id,) = queued(ledger, run)
    ledger.submit(top9(dataset))
    ledger.pause(claimed(ledger, shard_id, GPU), 12, 60.0, "a search waits")
    pause_is_over(ledger, shard_id)
    assert job_claimed(ledger, shard_id, GPU) == run


def test_higher_priority_goes_before_a_running_shard_at_once(ledger: Ledger, dataset: int) -> None:
    run, _ = ledger.submit(training(dataset))
    low, _ = ledger.submit(top9(dataset), priority=Priority.LOW)
    (shard_id,) = queued(ledger, run)
    claim, taker = claimed(ledger, shard_id, GPU), Taker(GPU, QUEUES)
    assert ledger.work_before(claim, taker, slice_is_over=True) is None
    other, _ = ledger.submit(training(dataset, seed=1), priority=Priority.HIGH)
    assert ledger.work_before(claim, taker, slice_is_over=False) == other
    ledger.pause(claim, 12, 0.0, "a run of higher priority waits")
    assert job_claimed(ledger, queued(ledger, low)[0], GPU) == other
    assert job_claimed(ledger, queued(ledger, low)[0], GPU) == run  # the pause is over


class Clock:
    """Stands for the module ``time``."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_a_pause_is_as_long_as_the_slice_or_the_last_epoch(
    ledger: Ledger, dataset: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = ledger.submit(training(dataset))  # its time slice is 10 minutes
    claim = claimed(ledger, queued(ledger, run)[0], GPU)
    clock = Clock()
    monkeypatch.setattr("worker.runner.time", clock)
    context = ShardContext(claim, ledger, Store(tmp_path), "cpu", taker=Taker(GPU, QUEUES))
    for clock.now in (500.0, 9000.0):  # nothing else waits
        context.pause_if_others_wait()
    ledger.submit(top9(dataset))
    for clock.now, expected in (9100.0, 600.0), (9800.0, 700.0):
        with pytest.raises(Paused) as raised:
            context.pause_if_others_wait()
        assert raised.value.seconds == expected


def test_a_pause_is_continued_by_the_same_machine_and_kind_of_device(ledger: Ledger, dataset: int) -> None:
    run, _ = ledger.submit(training(dataset))
    (shard_id,) = queued(ledger, run)
    ledger.worker_seen(GPU, "cuda:0", QUEUES, 1)
    for worker in (CPU_BESIDE, ELSEWHERE):
        ledger.pause(claimed(ledger, shard_id, GPU), 12, 60.0, "others wait")
        ledger.take_unsent()
        with pytest.raises(ContinuedElsewhere):
            message(ledger, shard_id, worker)
        assert ledger.take_unsent() == [(shard_id, TRAINING)]
        assert job_claimed(ledger, shard_id, SAME_KIND) == run
        ledger.worker_gone(SAME_KIND)
    claim = claimed(ledger, shard_id, GPU)
    ledger.pause(claim, 12, 60.0, "others wait")
    missing = MissingData(ledger, CPU_BESIDE)
    assert [missing.pause_before_next(1.0) for _ in range(3)] == [1.0, 2.0, 4.0]
    pause_is_over(ledger, shard_id)
    with pytest.raises(ContinuedElsewhere):
        message(ledger, shard_id, CPU_BESIDE)
    claim = message(ledger, shard_id, ELSEWHERE)  # of the same kind
    assert claim is not None
    ledger.pause(claim, 12, 60.0, "others wait")
    ledger.worker_gone(ELSEWHERE)
    assert job_claimed(ledger, shard_id, GPU) == run


def test_workers_that_leave_a_pause_to_others_are_idle(ledger: Ledger, dataset: int) -> None:
    run, _ = ledger.submit(training(dataset))
    (shard_id,) = queued(ledger, run)
    ledger.worker_seen(GPU, "cuda:0", QUEUES, 1)
    claim = claimed(ledger, shard_id, GPU)
    database = ledger.database
    ledger.pause(claim, 12, 60.0, "others wait")
    assert is_idle(database, QUEUES, "b", [ELSEWHERE])
    assert is_idle(database, QUEUES, "a", [CPU_BESIDE])
    assert not is_idle(database, QUEUES, "a", [CPU_BESIDE, SAME_KIND])
    pause_is_over(ledger, shard_id)
    assert is_idle(database, QUEUES, "a", [CPU_BESIDE])
    assert not is_idle(database, QUEUES, "b", [ELSEWHERE])
    ledger.submit(top9(dataset))
    assert not is_idle(database, QUEUES, "a", [CPU_BESIDE])


def test_the_duration_of_a_shard_counts_its_attempts_before_pauses(ledger: Ledger, dataset: int) -> None:
    run, _ = ledger.submit(training(dataset))
    (shard_id,) = queued(ledger, run)
    for seconds in (100, 200, 300):
        claim = claimed(ledger, shard_id, GPU)
        with ledger.database.write() as session:
            began = datetime.now(UTC) - timedelta(seconds=seconds)
            session.execute(update(Shard).where(Shard.id == shard_id).values(started_at=began))
        if seconds < 300:
            ledger.pause(claim, 12, 60.0, "others wait")
    ledger.complete(claim)
    assert counted(ledger, "shard_seconds") == pytest.approx(600, abs=30)
    assert counted(ledger, "work_done") == claim.work_total


def test_a_pause_is_continued_elsewhere_if_its_machine_loses_the_images(ledger: Ledger, dataset: int) -> None:
    run, _ = ledger.submit(training(dataset))
    (shard_id,) = queued(ledger, run)
    for worker in (GPU, ELSEWHERE):
        ledger.worker_seen(worker, "cuda:0", QUEUES, 1)
    ledger.pause(claimed(ledger, shard_id, GPU), 12, 60.0, "others wait")
    with pytest.raises(LeftToOthers, match="its images can't be read on a"):
        ledger.claim(shard_id, GPU, has_data=False, queues=QUEUES, missing=[dataset])
    assert job_claimed(ledger, shard_id, ELSEWHERE) == run


def test_a_job_that_pauses_is_cancelled_at_once_and_can_be_retried(ledger: Ledger, dataset: int) -> None:
    run, _ = ledger.submit(training(dataset))
    (shard_id,) = queued(ledger, run)
    ledger.pause(claimed(ledger, shard_id), 12, 60.0, "others wait")
    assert ledger.cancel(run) == JobState.CANCELLED
    ledger.retry(run)
    shard = shards_of(ledger, run)[0]
    assert (shard.state, shard.attempt, shard.work_done, shard.paused_until) == ("queued", 0, 0, None)
    claim = claimed(ledger, shard_id)
    ledger.cancel(run)
    ledger.pause(claim, 24, 60.0, "others wait")  # before its worker saw the request
    assert (job_of(ledger, run).state, states(ledger, run)) == (JobState.CANCELLED, ["cancelled"])
