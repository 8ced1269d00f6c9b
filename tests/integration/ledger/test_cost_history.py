"""Speeds of earlier shards: by stage and device, of the newest job there, without work that was resumed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from producer.cost import history
from producer.cost.history import device_of, earlier_jobs, measured_speeds
from producer.cost.shards import MOST_SHARDS, MOST_SLOW_SHARDS, shards_by_work, with_default_shards
from producer.kinds.top9.estimate import same_files, same_speed
from producer.kinds.top9.request import with_shards_by_work
from shared.database.base import utc_now
from shared.jobs.ledger import RESUMED, Ledger
from shared.jobs.tables import Shard
from shared.kinds.specification import ANALYSIS, CPU
from tests.integration.ledger.helpers import claimed, finish, finish_stage, queued, top9


def took(ledger: Ledger, job: int, seconds: float, worker: str, payload: dict[str, int] | None = None) -> None:
    """Let the done shards of the job have taken so long, on a worker."""
    began = utc_now() - timedelta(days=1)
    values = {"started_at": began, "finished_at": began + timedelta(seconds=seconds), "worker": worker}
    with ledger.database.write() as session:
        done = (Shard.job_id == job, Shard.state == "done")
        session.execute(update(Shard).where(*done).values(**values, **({"payload": payload} if payload else {})))


def test_the_newest_job_on_each_device_counts(ledger: Ledger, dataset: int) -> None:
    old, new, elsewhere = (ledger.submit(top9(dataset, seed=seed))[0] for seed in range(3))
    for job, seconds, worker in (
        (old, 32.0, "a-cuda0-00000a"),
        (new, 8.0, "a-cuda0-00000b"),
        (elsewhere, 16.0, "b-c-cpu-00000c"),
    ):
        finish_stage(ledger, job)
        took(ledger, job, seconds, worker)
    with ledger.database.read() as session:
        speeds = measured_speeds(session, [old, new, elsewhere], ["search", "select"])
    assert set(speeds) == {"search"}
    found = {speed.device: (speed.per_second, speed.job_id) for speed in speeds["search"]}
    assert found == {"a-cuda0": (pytest.approx(4.0), new), "b-c-cpu": (pytest.approx(2.0), elsewhere)}


def test_resumed_work_and_shards_that_run_do_not_count(ledger: Ledger, dataset: int) -> None:
    job = ledger.submit(top9(dataset))[0]
    first, second = queued(ledger, job)
    ledger.complete(claimed(ledger, first))
    took(ledger, job, 4.0, "a-cuda0-00000a", {"start": 0, "stop": 32, RESUMED: 24})
    claimed(ledger, second, "a-cuda0-00000a")
    with ledger.database.read() as session:
        (speed,) = measured_speeds(session, [job], ["search"])["search"]
        assert measured_speeds(session, [], ["search"]) == {}
    assert speed.per_second == pytest.approx(8 / 4)


def test_shards_take_a_minute_on_the_slowest_device_of_such_jobs(ledger: Ledger, dataset: int) -> None:
    """Without such a job, the speed of a slow network is assumed."""
    asked = top9(dataset)

    def shards(images: int) -> int:
        return shards_by_work(ledger.database, asked, ["search"], images, 8)

    assert [shards(images) for images in (1, 15_000, 160_000, 10**9)] == [8, 8, 83, MOST_SHARDS]
    slow, fast = (ledger.submit(top9(dataset, seed=seed))[0] for seed in range(2))
    for job, seconds, worker in ((slow, 8.0, "a-cpu-00000a"), (fast, 1.0, "a-cuda0-00000b")):
        finish_stage(ledger, job)
        took(ledger, job, seconds, worker)
    with ledger.database.read() as session:
        per_second = min(
            speed.per_second for speed in measured_speeds(session, [slow, fast], ["search"])["search"]
        )
    assert per_second < 32
    assert shards(160_000) == round(160_000 / per_second / 60)
    other = asked.model_copy(update={"top": 4})
    assert shards_by_work(ledger.database, other, ["search"], 160_000, 8) == 83


def test_shards_of_kinds_with_slow_images_have_eight_images_or_more(ledger: Ledger, dataset: int) -> None:
    def shards(images: int) -> int:
        return with_default_shards(ledger.database, top9(dataset), None, ["search"], images).shards

    assert [shards(images) for images in (1, 20, 64, 800, 10**6)] == [1, 3, 8, 100, MOST_SLOW_SHARDS]
    job = ledger.submit(top9(dataset))[0]
    finish_stage(ledger, job)
    took(ledger, job, 4.0, "a-cpu-00000a")
    with ledger.database.read() as session:
        (speed,) = measured_speeds(session, [job], ["search"])["search"]
    in_twenty_minutes = round(20 * 60 * speed.per_second)
    assert [shards(images) for images in (1, 20, 64, 800, in_twenty_minutes)] == [1, 3, 8, 8, 20]
    took(ledger, job, 1000.0, "a-cpu-00000a")
    assert [shards(images) for images in (1, 20, 64, 800)] == [1, 3, 8, 100]
    assert with_default_shards(ledger.database, top9(dataset, search=5), 5, ["search"], 800).shards == 5


def test_the_slowest_of_the_stages_decides(ledger: Ledger, dataset: int) -> None:
    """As *draw* does for a quick sweep: both have the same images in a shard."""
    job = ledger.submit(top9(dataset))[0]
    finish_stage(ledger, job)
    finish_stage(ledger, job)
    took(ledger, job, 4.0, "a-cpu-00000a")
    with ledger.database.read() as session:
        speeds = measured_speeds(session, [job], ["search", "select"])
    slow, fast = (speeds[stage][0].per_second for stage in ("select", "search"))
    assert slow < fast
    for stages, per_second in ((["search"], fast), (["search", "select"], slow), (["search", "absent"], fast)):
        found = shards_by_work(ledger.database, top9(dataset), stages, 100_000, 1, most=10**6)
        assert found == round(100_000 / per_second / 60)


def test_devices_with_a_worker_decide(ledger: Ledger, dataset: int) -> None:
    """A job that ran on a CPU long ago doesn't make shards of a GPU small."""
    old, new = (ledger.submit(top9(dataset, seed=seed))[0] for seed in range(2))
    for job, seconds, worker in ((old, 64.0, "a-cpu-00000a"), (new, 1.0, "a-cuda0-00000b")):
        finish_stage(ledger, job)
        took(ledger, job, seconds, worker)
    counts = []
    workers = (None, ("a-cuda0-00000c", ANALYSIS), ("b-cpu-00000d", ANALYSIS), ("a-cpu-00000e", CPU))
    for worker in (*workers, ("a-cpu-00000f", ANALYSIS)):
        if worker:
            name, queue = worker
            ledger.worker_seen(name, "cpu", [queue], 7)
        counts.append(shards_by_work(ledger.database, top9(dataset), ["search"], 100_000, 1, most=10**6))
    assert counts == [3333, 52, 52, 52, 3333]  # at 0.5, 32, and 0.5 images a second


def test_speeds_are_found_before_many_shards_of_later_stages(
    ledger: Ledger, dataset: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "RECENT_SHARDS", 2)
    job = ledger.submit(top9(dataset, search=3))[0]
    finish(ledger, job)
    with ledger.database.read() as session:
        assert set(measured_speeds(session, [job], ["search", "select", "project"])) == {
            "search",
            "select",
            "project",
        }


def test_shards_of_a_screening_take_five_minutes(ledger: Ledger, dataset: int) -> None:
    """There are eight until a screening has shown its speed; earlier searches in float32 don't show it."""

    def shards(screen: str | None) -> int:
        asked = top9(dataset).model_copy(update={"screen": screen, "image_count": 10**6})
        return with_shards_by_work(ledger.database, asked).shards

    assert [shards(None), shards("bfloat16")] == [521, 8]
    for seed, screen in enumerate((None, "bfloat16")):
        specification = top9(dataset, seed=seed).model_copy(update={"screen": screen})
        job = ledger.submit(specification)[0]
        finish_stage(ledger, job)
        took(ledger, job, 0.5, "a-cpu-00000a")
        assert [shards(None), shards("bfloat16")] == [260, (8, 52)[seed]]  # at 64 images a second


def test_jobs_are_alike_by_what_their_kind_says(ledger: Ledger, dataset: int) -> None:
    """Other weights need the same time, and other units may be dead; a waiting job tells nothing."""
    same, other_weights, waiting = (ledger.submit(top9(dataset, seed=seed))[0] for seed in (0, 1, 2))
    other_top = ledger.submit(top9(dataset, seed=0).model_copy(update={"top": 4}))[0]
    for job in (same, other_weights, other_top):
        finish(ledger, job)
    with ledger.database.read() as session:
        for alike, expected in ((same_speed, [other_weights, same]), (same_files, [same])):
            assert [job.id for job, _ in earlier_jobs(session, top9(dataset, search=5), alike)] == expected
    assert waiting not in (same, other_weights)


@pytest.mark.parametrize(
    ("worker", "device"), [("host-cuda12-0a1b2c", "host-cuda12"), ("a.b-c-cpu-0a1b2c", "a.b-c-cpu"), ("h:12", "h")]
)
def test_devices_in_names_of_workers(worker: str, device: str) -> None:
    assert device_of(worker) == device
