"""Training runs that save several epochs together end with the rows and weights of one that saves each."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from producer.results.progress import job_events
from shared.database.networks import Checkpoint, CheckpointKind
from tests.conftest import Analyze
from tests.faults.content import content_of
from tests.integration.machines import HERE, Machines
from unitscope.training.loop import PhaseResult, Trainer

EPOCHS = 5
TRAIN = ("train", "--epochs", EPOCHS, "--keep-epochs", "2,4")


def test_epochs_that_are_saved_together_are_those_that_are_saved_one_by_one(
    analyze: Analyze, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines = Machines(analyze, tmp_path, monkeypatch)
    states: list[int] = []
    state_of = Trainer.state
    monkeypatch.setattr(Trainer, "state", lambda trainer: states.append(trainer.epoch) or state_of(trainer))
    each = int(machines.submit(*TRAIN))
    machines.run(HERE)
    assert states == [1, 2, 3, 4, 5]
    # Every save takes too long, so that only the first and the last epoch are saved when they end.
    monkeypatch.setattr("worker.kinds.train.saving.QUICK", -1.0)
    monkeypatch.setattr("worker.kinds.train.saving.LARGEST_SHARE", 0.0)
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
    with machines.database.read() as session:
        of_state = (Checkpoint.job_id == failed, Checkpoint.kind == CheckpointKind.STATE)
        assert session.scalars(select(Checkpoint.epoch).where(*of_state)).all() == [1]
    assert len(analyze.json("results", failed)) == 2  # rows, of epoch 1
    machines.run_all(HERE)
    assert states == [1, 2, 5]  # the first epoch of each attempt, and the last one
    assert "resumed after epoch 1" in [event["message"] for event in job_events(machines.database, failed)]
    assert content_of(machines.database, failed) == content_of(machines.database, each)
