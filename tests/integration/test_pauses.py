"""Long training runs let other work of their worker run, and end with the bits of an undisturbed run."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import select, update

from producer.results.progress import JobProgress, job_events, job_progress
from shared import logs
from shared.jobs.tables import Shard
from shared.kinds.specification import QUEUES
from shared.settings import load_settings
from tests.acceptance.conftest import outcome
from tests.conftest import Analyze
from tests.integration.machines import HERE, Machines
from worker.runner import run

TURNS = 3


class Run:
    """A training run, of which a worker of all queues receives messages."""

    def __init__(self, machines: Machines, *options: object) -> None:
        self.machines, self.database = machines, machines.database
        self.job = int(machines.submit("train", "--epochs", TURNS, *options))

    def message(self) -> None:
        run(self.shard.id, load_settings(), queues=QUEUES)

    def pause_until(self, moment: float) -> None:
        with self.database.write() as session:
            session.execute(update(Shard).where(Shard.job_id == self.job).values(paused_until=moment))

    @property
    def shard(self) -> Shard:
        with self.database.read() as session:
            return session.scalars(select(Shard).where(Shard.job_id == self.job)).one()

    @property
    def progress(self) -> JobProgress:
        return job_progress(self.database, self.job)

    @property
    def events(self) -> list[str]:
        return [event["message"] for event in job_events(self.database, self.job)]


def shards_that_logs_name(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return a list to which the shard of each following context of log records is added."""
    found: list[object] = []

    def log_context(**fields: object) -> AbstractContextManager[None]:
        found.append(fields["shard"])
        return logs.log_context(**fields)

    monkeypatch.setattr("worker.runner.logs", SimpleNamespace(log_context=log_context))
    return found


def test_a_run_cut_into_turns_ends_with_the_bits_of_an_uncut_one(
    analyze: Analyze, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines = Machines(analyze, tmp_path, monkeypatch)
    monkeypatch.setenv("ANALYZE_WORKER_NAME", HERE)
    search = int(machines.submit())
    said = analyze(*machines.submission("top9"), "--priority", "high").stderr
    assert "The same job was submitted before" in said.split("Its priority is unchanged")[0]
    assert f"`analyze priority {search} high`" in " ".join(said.split())
    uncut = Run(machines)  # its time slice is 10 minutes
    uncut.message()
    assert uncut.shard.state == "done"
    cut = Run(machines, "--time-slice", 0)
    for turn in range(1, TURNS):
        cut.message()
        assert cut.events[-1] == f"train: pauses, since job {search} waits"
        assert (cut.shard.state, cut.shard.attempt) == ("queued", 0)
        cut.pause_until(1e12)
        assert (cut.progress.job.state, cut.progress.share) == ("running", pytest.approx(turn / TURNS))
        machines.alive(HERE)
        assert cut.progress.waiting is not None
        assert (cut.progress.waiting.paused, cut.progress.waiting.shards_before) == (True, 2 if turn == 1 else 1)
        if turn == 1:  # the search has its turn
            shards = shards_that_logs_name(monkeypatch)
            cut.message()
            assert shards == [machines.shards("done")[0].id]
            assert job_progress(machines.database, search).stages[0].shards == {"done": 1, "queued": 1}
        cut.pause_until(1.0)
    cut.message()
    assert outcome(analyze, str(cut.job)) == outcome(analyze, str(uncut.job))
    assert [event for event in cut.events if "resumed" in event] == [
        f"resumed after epoch {epoch}" for epoch in range(1, TURNS)
    ]
    assert (cut.shard.state, cut.shard.attempt, cut.shard.work_done) == ("done", 1, uncut.shard.work_total)
