"""HTML page of an invariance job: means by transformation and layer, the figure, and the figures of images."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from producer.kinds.invariance.results import INVARIANCE, INVARIANCE_IMAGES
from producer.results.filters import EVERYTHING, Filters
from producer.results.pages import inline, load_report, page_template
from shared.database.connection import Database
from shared.database.datasets import Image
from shared.jobs.tables import Job
from shared.kinds.invariance.tables import (
    InvarianceDistance,
    InvarianceImage,
    InvarianceJob,
    InvariancePrediction,
)
from shared.store.store import Store
from unitscope.invariance.series import UNCHANGED

FIGURES = 24  # at most: each is a picture of a hundred kilobytes or more


def render(database: Database, store: Store, job_id: int, filters: Filters = EVERYTHING) -> str:
    """Render the page of a job, as far as it has come, for the images that ``filters`` selects; the figure shows
    images of the whole job.

    Raises
    ------
    NoSuchJob, JobStateConflict, NoSuchClass, NoSuchModule, ArtifactMissing
    """
    row = InvarianceImage
    of_images = Filters(class_name=filters.class_name, images=filters.images)
    with database.read() as session:
        report = load_report(
            session, job_id, lambda session: bool(session.scalar(select(exists().where(row.job_id == job_id))))
        )
        figure = session.scalar(select(InvarianceJob.figure_path).where(InvarianceJob.job_id == job_id))
        means = mean_changes(session, report.job, filters)
        selected = (row.job_id == job_id, *INVARIANCE_IMAGES.conditions(session, report.job, of_images))
        images = session.execute(
            select(Image.path, Image.class_name, row)
            .join_from(row, Image, Image.id == row.image_id)
            .where(*selected, row.picture_path.is_not(None))
            .order_by(row.image_id)
            .limit(FIGURES)
        ).all()
    return page_template("kinds/invariance/page.html.j2").render(
        **vars(report),
        figure=inline(store, figure),
        means=means,
        images=[
            {
                "image_path": path,
                "class_name": class_name,
                "clear_probability": image.clear_probability,
                "clear_class": image.clear_class,
                "picture": inline(store, image.picture_path),
            }
            for path, class_name, image in images
        ],
    )


def mean_changes(session: Session, job: Job, filters: Filters) -> list[dict[str, Any]]:
    """Return for each transformation and layer the mean distances, as shares of the features' norm, at the
    smallest change and over all values, and the mean probability."""
    distance, prediction = InvarianceDistance, InvariancePrediction
    query = (
        select(
            distance.transformation,
            distance.layer,
            distance.value,
            func.avg(distance.relative_distance),
            func.avg(prediction.probability),
            func.count(),
        )
        .select_from(INVARIANCE.source)
        .where(distance.job_id == job.id, *INVARIANCE.conditions(session, job, filters))
        .group_by(distance.transformation, distance.layer, distance.value)
        .order_by(distance.transformation.desc(), distance.layer, distance.value)
    )
    found: dict[tuple[str, str], list[tuple[float, float | None, float]]] = defaultdict(list)
    for transformation, layer, value, relative, probability, _ in session.execute(query):
        found[transformation, layer].append((value, relative, probability))
    rows = []
    for (transformation, layer), values in found.items():
        unchanged = UNCHANGED[transformation]  # type: ignore[index]
        changed = [entry for entry in values if entry[0] != unchanged]
        least = min(changed, key=lambda entry: abs(entry[0] - unchanged), default=None)
        shares = [entry[1] for entry in values if entry[1] is not None]
        rows.append(
            {
                "transformation": transformation,
                "layer": layer,
                "smallest": least[0] if least else None,
                "at_smallest": least[1] if least else None,
                "mean": sum(shares) / len(shares) if shares else None,
                "most": max(shares, default=None),
                "probability": sum(entry[2] for entry in values) / len(values),
            }
        )
    return rows
