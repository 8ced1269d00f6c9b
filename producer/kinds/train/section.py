"""Section of a training run on the page of a study: its curves and its best epoch."""

from __future__ import annotations

from typing import cast

from producer.kinds.train.results import EPOCHS
from producer.results.jobs import find_job
from producer.results.pages import inline
from producer.results.sections import Picture, Section, percent
from shared.database.connection import Database
from shared.database.networks import TrainingRun
from shared.kinds.registry import parse
from shared.kinds.train.specification import TrainSpecification
from shared.kinds.train.tables import Phase
from shared.store.store import Store


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
    return Section(specification.train_count + specification.val_count, measures, pictures)
