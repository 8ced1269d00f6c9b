"""Long training runs let other work of their worker run, and end with the bits of an undisturbed run."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import update

from shared.jobs.tables import Shard, ShardState
from shared.kinds.specification import QUEUES
from shared.settings import load_settings
from tests.acceptance.conftest import outcome
from tests.integration.machines import HERE, Machines
from worker.runner import run

EPOCHS = 4


def message(machines: Machines, job: str) -> None:
    """Let a worker of all queues receive the message of a training run."""
    machines.monkeypatch.setenv("ANALYZE_WORKER_NAME", HERE)
    run(shard_of(machines, job).id, load_settings(), queues=QUEUES)


def shard_of(machines: Machines, job: str) -> Shard:
    return next(shard for shard in machines.shards(*ShardState) if shard.job_id == int(job))


def events(machines: Machines, job: str) -> list[str]:
    printed = machines.analyze("logs", job, "--json").stdout.splitlines()
    return [json.loads(line)["message"] for line in printed]


def status(machines: Machines, job: str) -> dict[str, Any]:
    return machines.status(job)


def test_a_run_cut_into_turns_ends_with_the_bits_of_an_uncut_one(machines: Machines) -> None:
    machines.alive(HERE)
    options = ("--epochs", EPOCHS, "--keep-epochs", "1,2,3")
    uncut = machines.submit("train", *options)
    machines.run_all(HERE)
    cut = machines.submit("train", *options, "--time-slice", 0)
    search = machines.submit()
    message(machines, cut)
    for epoch in range(1, EPOCHS):
        shard = shard_of(machines, cut)
        assert (shard.state, shard.attempt) == ("queued", 0)
        found = status(machines, cut)
        assert (found["state"], found["share"]) == ("running", epoch / EPOCHS)
        assert found["waiting"]["shards_before"] == (2 if epoch == 1 else 1)
        if epoch == 1:  # the search has its turn
            with machines.database.write() as session:
                session.execute(update(Shard).where(Shard.id == shard.id).values(paused_until=1e12))
            message(machines, cut)
            assert status(machines, search)["stages"][0]["shards"] == {"done": 1, "queued": 1}
            assert events(machines, cut)[-1] == f"train: pauses, since job {search} waits"
        with machines.database.write() as session:
            session.execute(update(Shard).where(Shard.id == shard.id).values(paused_until=1.0))
        message(machines, cut)
    assert status(machines, cut)["state"] == "done"
    assert outcome(machines.analyze, cut) == outcome(machines.analyze, uncut)
    assert sum("resumed after epoch" in event for event in events(machines, cut)) == EPOCHS - 1
    assert machines.status(cut)["specification"]["time_slice_minutes"] == 0
    rows = machines.analyze.json("query", f"SELECT attempt, work_done FROM shards WHERE job_id = {cut}")
    assert rows == [{"attempt": 1, "work_done": shard_of(machines, uncut).work_total}]


def test_a_run_goes_on_while_nothing_waits_or_its_time_slice_lasts(machines: Machines) -> None:
    machines.alive(HERE)
    alone = machines.submit("train", "--time-slice", 0)
    message(machines, alone)
    assert machines.status(alone)["state"] == "done"
    long = machines.submit("train", "--seed", 1)  # 10 minutes by default
    machines.submit()
    message(machines, long)
    assert machines.status(long)["state"] == "done"
    assert not any("pauses" in event for event in events(machines, long))
