"""Training runs that save several epochs together end with the rows and weights of one that saves each."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from sqlalchemy import select

from producer.results.progress import job_events
from shared.database.networks import Checkpoint, CheckpointKind
from tests.conftest import Analyze
from tests.faults.content import content_of
from tests.integration.machines import HERE, Machines
from unitscope.training.loop import PhaseResult, Trainer
from worker.runner import Paused, ShardContext

EPOCHS = 5
TRAIN = ("train", "--epochs", EPOCHS, "--keep-epochs", "2,4")


@pytest.fixture
def machines(analyze: Analyze, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machines:
    return Machines(analyze, tmp_path, monkeypatch)


def save_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every save take too long, so that only the first and the last epoch are saved when they end."""
    monkeypatch.setattr("worker.kinds.train.saving.QUICK", -1.0)
    monkeypatch.setattr("worker.kinds.train.saving.LARGEST_SHARE", 0.0)


def saved_epochs(machines: Machines, job: int) -> list[int]:
    of_state = (Checkpoint.job_id == job, Checkpoint.kind == CheckpointKind.STATE)
    with machines.database.read() as session:
        return list(session.scalars(select(Checkpoint.epoch).where(*of_state)))


def test_epochs_that_are_saved_together_are_those_that_are_saved_one_by_one(
    analyze: Analyze, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[int] = []
    state_of = Trainer.state
    monkeypatch.setattr(Trainer, "state", lambda trainer: states.append(trainer.epoch) or state_of(trainer))
    monkeypatch.setattr("worker.kinds.train.saving.QUICK", math.inf)
    each = int(machines.submit(*TRAIN))
    machines.run(HERE)
    assert states == [1, 2, 3, 4, 5]
    save_late(monkeypatch)
    states.clear()
    together = int(machines.submit(*TRAIN))
    machines.run(HERE)
    assert states == [1, 5]
    assert content_of(machines.database, together) == content_of(machines.database, each)

    # An attempt that fails loses what was not saved, and the next one repeats it.
    validate = Trainer.validate
    failures = [OSError("the disk is gone")]

    def fails_once(trainer: Trainer, *arguments: object) -> PhaseResult:
        if trainer.epoch == 3 and failures:
            raise failures.pop()
        return validate(trainer, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Trainer, "validate", fails_once)
    states.clear()
    failed = int(machines.submit(*TRAIN))
    machines.run(HERE)
    assert saved_epochs(machines, failed) == [1]
    assert len(analyze.json("results", failed)) == 2  # rows, of epoch 1
    machines.run_all(HERE)
    assert states == [1, 2, 5]  # the first epoch of each attempt, and the last one
    assert "resumed after epoch 1" in [event["message"] for event in job_events(machines.database, failed)]
    assert content_of(machines.database, failed) == content_of(machines.database, each)


def test_a_run_that_pauses_saves_its_epochs(
    analyze: Analyze, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = int(machines.submit(*TRAIN))
    machines.run(HERE)
    save_late(monkeypatch)
    epochs: list[int] = []

    def pauses_after_the_third(context: ShardContext) -> None:
        epochs.append(len(epochs) + 1)
        if len(epochs) == 3:
            raise Paused("since a test waits", 0.0)

    monkeypatch.setattr(ShardContext, "pause_if_others_wait", pauses_after_the_third)
    paused = int(machines.submit(*TRAIN))
    machines.run(HERE)
    assert saved_epochs(machines, paused) == [3]
    assert len(analyze.json("results", paused)) == 2 * 3  # rows, of both phases
    machines.run_all(HERE)
    assert epochs == [1, 2, 3, 4]
    assert "resumed after epoch 3" in [event["message"] for event in job_events(machines.database, paused)]
    assert content_of(machines.database, paused) == content_of(machines.database, each)
