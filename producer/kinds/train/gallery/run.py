"""The page of a training run: curves, classes and their confusion, checkpoints, and the jobs that rest on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from producer.gallery.page import Gallery, Link, Parameters
from producer.gallery.pictures import picture_size
from producer.gallery.report import job_links
from producer.kinds.train.gallery.chart import Chart, Line, draw_chart
from producer.kinds.train.gallery.confusion import read_confusion
from producer.kinds.train.gallery.found import find_run, specification_of
from producer.kinds.train.results import EPOCHS, EpochRow
from producer.results.progress import job_progress
from shared.database.datasets import Dataset
from shared.database.networks import Checkpoint, CheckpointKind, TrainingRun
from shared.jobs.removal import dependents
from shared.jobs.tables import ACTIVE_JOBS, Job, JobState
from shared.kinds.registry import describe
from shared.kinds.train.specification import TrainSpecification
from shared.kinds.train.tables import Phase
from unitscope.errors import UnitscopeError

DEPENDENTS = 24  # jobs that rest on the run, the newest ones
PHASES = {Phase.TRAIN: "training", Phase.VAL: "validation"}
KINDS = {
    CheckpointKind.BEST: "best accuracy",
    CheckpointKind.LAST: "last epoch",
    CheckpointKind.EPOCH: "kept epoch",
    CheckpointKind.STATE: "state to resume from",
}


def read_run(gallery: Gallery, parameters: Parameters) -> dict[str, Any]:
    """Read the page ``/runs/ID``.

    Raises
    ------
    NoSuchRun
    """
    with gallery.database.read() as session:
        job, run = find_run(session, parameters.path["job_id"])
        dataset = session.get_one(Dataset, run.dataset_id).name
        confusion = read_confusion(session, job.id)
        checkpoints = _checkpoints(session, job.id)
        users = _dependents(session, job.id)
    specification = specification_of(job)
    epochs = list(EPOCHS.rows(gallery.database, job.id))
    active = job.state in ACTIVE_JOBS
    progress = job_progress(gallery.database, job.id) if active else None
    return {
        "title": f"Run {job.id}: {run.network} on {dataset}",
        "job_id": job.id,
        "what": describe(job.kind, job.specification),
        "network": run.network,
        "dataset": dataset,
        "state": job.state,
        "error": job.error,
        "live": active,
        "share": progress.share if progress else None,
        "seconds_left": progress.current.seconds_left if progress and progress.current else None,
        "facts": _facts(job, run, specification, epochs),
        "charts": charts_of({PHASES[phase]: _of_phase(epochs, phase) for phase in PHASES}),
        "epochs": [asdict(row) for row in epochs],
        "confusion": confusion,
        "confusion_picture": run.confusion_path,
        "confusion_size": picture_size(gallery.store, run.confusion_path) if run.confusion_path else None,
        "filters_picture": run.filters_path,
        "checkpoints": checkpoints,
        "rests_on_it": [_dependent(gallery, user) for user in users],
        "address": f"/runs/{job.id}",
    }


def _of_phase(epochs: Sequence[EpochRow], phase: str) -> list[EpochRow]:
    return [row for row in epochs if row.phase == phase]


def charts_of(rows: dict[str, list[EpochRow]]) -> list[Chart]:
    """Return the charts of loss and accuracy, with a line for each name; training is dashed."""
    charts = []
    for title, column in (("Loss (cross-entropy)", "loss"), ("Accuracy", "accuracy")):
        lines = [
            Line(name, number, [(row.epoch, getattr(row, column)) for row in of_name], name == PHASES[Phase.TRAIN])
            for number, (name, of_name) in enumerate(rows.items())
        ]
        charts.append(draw_chart(title, lines, shares=column == "accuracy"))
    return [chart for chart in charts if chart]


def _facts(
    job: Job, run: TrainingRun, specification: TrainSpecification | None, epochs: Sequence[EpochRow]
) -> list[tuple[str, Any, str]]:
    """Return names, values, and how a template shows each: text, percent, number."""
    validated = _of_phase(epochs, Phase.VAL)
    trained = _of_phase(epochs, Phase.TRAIN)
    best = next((row for row in validated if row.epoch == run.best_epoch), None)
    facts: list[tuple[str, Any, str]] = [
        ("best validation accuracy", run.best_accuracy, "percent"),
        ("at epoch", run.best_epoch, "number"),
        ("mean accuracy of the classes", best.class_accuracy if best else None, "percent"),
        ("top-5 accuracy", best.top5_accuracy if best else None, "percent"),
        ("epochs", f"{len(validated)} of {run.epochs}", "text"),
    ]
    seconds = sum(row.seconds for row in trained)
    if seconds:
        facts.append(("training images per second", round(sum(row.images for row in trained) / seconds), "number"))
    if specification:
        size = specification.network.image_size
        facts += [
            ("recipe", specification.recipe_name, "text"),
            ("network", f"{run.network}, {specification.network.classes} classes, input {size} x {size}", "text"),
            ("training images", specification.train_count, "number"),
            ("validation images", specification.val_count, "number"),
            ("seed", specification.seed, "number"),
        ]
    else:
        facts.append(("recipe", "of another version of unitscope", "text"))
    device = (run.environment or {}).get("device")
    if isinstance(device, str):
        facts.append(("device", device, "text"))
    return [fact for fact in facts if fact[1] is not None]


def _checkpoints(session: Session, job_id: int) -> list[dict[str, Any]]:
    query = select(Checkpoint).where(Checkpoint.job_id == job_id)
    rows = session.scalars(query.order_by(Checkpoint.epoch, Checkpoint.kind)).all()
    return [
        {"kind": KINDS[CheckpointKind(row.kind)], "epoch": row.epoch, "bytes": row.bytes, "sha256": row.sha256}
        for row in rows
    ]


def _dependents(session: Session, job_id: int) -> list[Job]:
    """Return the newest jobs whose specification names this run: searches, sweeps, pictures of its filters."""
    users = sorted(dependents(session, [job_id]).get(job_id, []), reverse=True)[:DEPENDENTS]
    jobs = {job.id: job for job in session.scalars(select(Job).where(Job.id.in_(users)))}
    return [jobs[user] for user in users]


def _dependent(gallery: Gallery, job: Job) -> dict[str, Any]:
    picture: Link | None = None
    if job.state == JobState.DONE:
        try:
            picture = next((link for link in job_links(gallery, job) if link.picture), None)
        except UnitscopeError:  # of another version: the job's own page says so
            picture = None
    return {
        "job_id": job.id,
        "what": describe(job.kind, job.specification),
        "state": job.state,
        "picture": picture,
    }
