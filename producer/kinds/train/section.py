"""Section of a training run on the page of a study: its curves and its best epoch."""

from __future__ import annotations

from typing import cast

from producer.kinds.train.results import EPOCHS
from producer.results.jobs import find_job
from producer.results.pages import inline
from producer.results.sections import Picture, Section, percent
from shared.database.connection import Database
from shared.database.networks import TrainingRun
from shared.jobs.tables import Job
from shared.kinds.registry import parse, read_summary
from shared.kinds.train.specification import TrainSpecification
from shared.kinds.train.tables import Phase
from shared.store.store import Store

HARDLY_LEARNT = 2.0  # times chance, for many classes


def section(database: Database, store: Store, job_id: int) -> Section:
    """Return the section of a training run.

    Raises
    ------
    NoSuchJob, SpecificationNotReadable, ArtifactMissing
    """
    with database.read() as session:
        job, run = find_job(session, job_id), session.get_one(TrainingRun, job_id)
    specification = cast(TrainSpecification, parse(job.kind, job.specification))
    rows = list(EPOCHS.rows(database, job_id))
    last = rows[-1].epoch if rows else 0
    network = specification.network
    measures = {
        "network": f"{network.name}, {network.classes} classes, input {network.image_size} x {network.image_size}",
        "epochs": str(last),
        "training images, validation images": f"{specification.train_count:,}, {specification.val_count:,}",
    }
    if run.best_accuracy is not None:
        measures["best validation accuracy"] = f"{percent(run.best_accuracy)} (epoch {run.best_epoch})"
    top5 = [row.top5_accuracy for row in rows if row.phase == Phase.VAL and row.top5_accuracy is not None]
    if top5:
        measures["best top-5 error"] = percent(1 - max(top5))
    pictures = [Picture(inline(store, run.curves_path))] if run.curves_path else []
    images = specification.train_count + specification.val_count
    return Section(images, measures, pictures, warning=_warning(job, run, network.classes))


def _warning(job: Job, run: TrainingRun, classes: int) -> str:
    """Compare the mean of the accuracies of the classes with chance; frequent classes don't change it."""
    accuracy = read_summary(job.kind, job.summary).get("class_accuracy")
    chance = 1 / classes
    # With few classes: a quarter of the way from chance to 1.
    if accuracy is None or accuracy >= min(HARDLY_LEARNT * chance, chance + (1 - chance) / 4):
        return ""
    return (
        f"The network of training run {job.id} ({run.network}) has hardly learnt: the mean of the accuracies of "
        f"its {classes} classes is {percent(accuracy)}, chance is {percent(chance)}. What is shown of it "
        "says little."
    )
