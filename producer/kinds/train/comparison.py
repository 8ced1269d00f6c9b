"""Comparison of training runs: results, settings that differ, and curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from shared.database.connection import Database
from shared.database.datasets import Dataset
from shared.database.networks import TrainingRun
from shared.errors import NoSuchRun
from shared.jobs.tables import Job
from shared.kinds.registry import parse
from shared.kinds.train.tables import Epoch, Phase

# Fields of the specification that are not compared.
IGNORED = ("dataset_id", "dataset_fingerprint", "network.name", "recipe_name", "time_slice_minutes")
IGNORED_SUFFIXES = ("_path", "_sha256")


@dataclass(frozen=True)
class ComparedRun:
    """A training run; ``settings`` are the fields of its specification by dotted names."""

    job_id: int
    network: str
    dataset: str
    state: str
    settings: dict[str, Any]
    best_epoch: int | None
    best_accuracy: float | None
    epochs: list[Epoch]

    @property
    def name(self) -> str:
        return f"{self.job_id}: {self.network} on {self.dataset}"


def compared_runs(database: Database, job_ids: Sequence[int]) -> list[ComparedRun]:
    """Load training runs, in the order of ``job_ids``.

    Raises
    ------
    NoSuchRun, SpecificationNotReadable
    """
    runs = []
    with database.read() as session:
        for job_id in job_ids:
            job, run = session.get(Job, job_id), session.get(TrainingRun, job_id)
            if job is None or run is None:
                raise NoSuchRun(job_id=job_id, state="")
            epochs = session.scalars(select(Epoch).where(Epoch.job_id == job_id).order_by(Epoch.epoch)).all()
            runs.append(
                ComparedRun(
                    job_id,
                    run.network,
                    session.get_one(Dataset, run.dataset_id).name,
                    job.state,
                    _flat(parse(job.kind, job.specification).model_dump(mode="json")),
                    run.best_epoch,
                    run.best_accuracy,
                    list(epochs),
                )
            )
    return runs


def _flat(specification: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in specification.items():
        full = f"{prefix}{name}"
        if isinstance(value, dict):
            flat |= _flat(value, f"{full}.")
        elif full not in IGNORED and not full.endswith(IGNORED_SUFFIXES):
            flat[full] = value
    return flat


def summary_rows(runs: Sequence[ComparedRun]) -> list[dict[str, Any]]:
    """Return a row for each run, with its result and each setting in which the runs differ."""
    names = sorted({name for run in runs for name in run.settings})
    differing = [name for name in names if len({str(run.settings.get(name)) for run in runs}) > 1]
    rows = []
    for run in runs:
        validated = [epoch for epoch in run.epochs if epoch.phase == Phase.VAL]
        seconds = sum(epoch.seconds for epoch in run.epochs)
        images = sum(epoch.images for epoch in run.epochs)
        rows.append(
            {
                "run": run.job_id,
                "network": run.network,
                "dataset": run.dataset,
                "state": run.state,
                "epochs": len(validated),
                "best_accuracy": run.best_accuracy,
                "best_epoch": run.best_epoch,
                "last_accuracy": validated[-1].accuracy if validated else None,
                "last_loss": validated[-1].loss if validated else None,
                "images_per_second": images / seconds if seconds else None,
                **{name: run.settings.get(name) for name in differing},
            }
        )
    return rows


def epoch_rows(runs: Sequence[ComparedRun]) -> list[dict[str, Any]]:
    """Return a row for each epoch, with the validation accuracy of every run."""
    accuracies = {run.job_id: {e.epoch: e.accuracy for e in run.epochs if e.phase == Phase.VAL} for run in runs}
    last = max((epoch for run in accuracies.values() for epoch in run), default=0)
    return [
        {"epoch": epoch, **{f"run {job_id}": by_epoch.get(epoch) for job_id, by_epoch in accuracies.items()}}
        for epoch in range(1, last + 1)
    ]


def draw_comparison(runs: Sequence[ComparedRun]) -> bytes:
    """Draw the curves of all runs, and return the PNG file's content."""
    from unitscope.drawing.curves import draw_curves, phase_curves  # only here: it imports matplotlib

    return draw_curves("Training runs", {run.name: phase_curves(run.epochs) for run in runs})
