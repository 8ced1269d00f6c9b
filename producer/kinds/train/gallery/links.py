"""What a training job's page of the gallery leads to: the page of the run."""

from __future__ import annotations

from producer.gallery.page import Gallery, Link
from producer.gallery.templates import percent
from shared.database.networks import TrainingRun


def links(gallery: Gallery, job_id: int) -> list[Link]:
    """Return a link to the page of the run, with its curves as a picture once the run is done."""
    with gallery.database.read() as session:
        run = session.get(TrainingRun, job_id)
    if run is None:
        return []
    best = (
        "" if run.best_accuracy is None else f"best accuracy {percent(run.best_accuracy)}, epoch {run.best_epoch}"
    )
    return [Link("Curves, classes, checkpoints", f"/runs/{job_id}", best, run.curves_path)]
