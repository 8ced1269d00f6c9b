"""Stage *finish* of an invariance job: the figure of all images, and the job's summary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.database.datasets import Dataset, Image
from shared.jobs.left_out import LEFT_OUT
from shared.jobs.tables import Job
from shared.kinds.invariance.specification import InvarianceSpecification
from shared.kinds.invariance.tables import (
    InvarianceDistance,
    InvarianceImage,
    InvarianceJob,
    InvariancePrediction,
)
from unitscope.drawing.invariance import DrawnImage, draw_invariance
from unitscope.invariance.measure import Curves, ImageInvariance
from unitscope.vocabulary import Transformation
from worker.kinds.common import register_artifacts, require_some, stage_results, summarize_left_out
from worker.kinds.invariance.draw import shown_ids
from worker.kinds.invariance.rows import image_rows, read_measured
from worker.runner import ShardContext


def finish(context: ShardContext) -> None:
    """Draw the figure, and write the job's summary."""
    specification = cast(InvarianceSpecification, context.specification)
    rows = image_rows(context)
    require_some(context, len(specification.images) - len(rows), len(specification.images))
    with context.database.read() as session:
        dataset = session.get_one(Dataset, specification.dataset_id)
    shown = set(shown_ids(context))
    drawn = _drawn(context, [(image, row) for image, row in rows if image.id in shown], dataset.class_names)
    mean = _mean(context, [row for _, row in rows])
    title = (
        f"{specification.network.name} on {dataset.name}: {len(rows)} images"
        if len(rows) > 1
        else (f"{specification.network.name} on {dataset.name}")
    )
    layers = [layer.layer for layer in specification.layers]
    picture = draw_invariance(title, layers, drawn, mean if len(rows) > len(drawn) else None)
    figure = context.store.put(picture, ".png")

    def write(session: Session) -> None:
        register_artifacts(context, session, [figure])
        session.merge(InvarianceJob(job_id=context.claim.job_id, figure_path=figure.path))
        summary = _summary(specification, len(rows), mean, summarize_left_out(context, session))
        session.get_one(Job, context.claim.job_id).summary = summary

    context.complete(write)


def _drawn(
    context: ShardContext, rows: Sequence[tuple[Image, InvarianceImage]], class_names: Sequence[str]
) -> list[DrawnImage]:
    """Return the images of the figure, with the examples that the stage *draw* stored."""
    pictures: dict[str, np.ndarray] = {}
    for path in stage_results(context, "draw"):
        with np.load(context.store.verified(path), allow_pickle=False) as part:
            pictures |= dict(part)
    specification = cast(InvarianceSpecification, context.specification)
    return [
        DrawnImage(
            image.class_name,
            read_measured(context, row, class_names),
            {transformation: pictures[f"{image.id}-{transformation}"] for transformation in specification.series},
        )
        for image, row in rows
    ]


def _mean(context: ShardContext, rows: Sequence[InvarianceImage]) -> ImageInvariance:
    """Return the mean curves of the images. They are added up in the order of ids, so that the last bits don't
    depend on the order in which shards wrote their rows."""
    specification = cast(InvarianceSpecification, context.specification)
    layers = [layer.layer for layer in specification.layers]
    distances = {str(name): np.zeros((len(layers), len(values))) for name, values in specification.series.items()}
    probability = {str(name): np.zeros(len(values)) for name, values in specification.series.items()}
    columns = {
        (str(name), value): column
        for name, values in specification.series.items()
        for column, value in enumerate(values)
    }
    distance, prediction = InvarianceDistance, InvariancePrediction
    of_distances = (
        select(distance.transformation, distance.value, distance.layer, distance.distance)
        .where(distance.job_id == context.claim.job_id)
        .order_by(distance.image_id)
    )
    of_predictions = (
        select(prediction.transformation, prediction.value, prediction.probability)
        .where(prediction.job_id == context.claim.job_id)
        .order_by(prediction.image_id)
    )
    with context.database.read() as session:
        options = {"yield_per": 10_000}
        for name, value, layer, number in session.execute(of_distances, execution_options=options):
            distances[name][layers.index(layer), columns[name, value]] += number
        for name, value, number in session.execute(of_predictions, execution_options=options):
            probability[name][columns[name, value]] += number
    count = len(rows)
    curves: dict[Transformation, Curves] = {
        name: Curves(
            np.array(values),
            distances[name] / count,
            probability[name] / count,
            np.zeros(len(values), np.int64),
        )
        for name, values in specification.series.items()
    }
    clear = sum(row.clear_probability for row in rows) / count
    return ImageInvariance(curves, np.full(len(layers), np.nan), clear, 0)


def _summary(
    specification: InvarianceSpecification, images: int, mean: ImageInvariance, left_out: dict[str, Any]
) -> dict[str, Any]:
    """Return the key figures of the job's result."""
    return {
        "images": images,
        **left_out,
        LEFT_OUT: len(specification.images) - images,
        "transformed_images": sum(len(values) for values in specification.series.values()),
        "clear_probability": mean.clear_probability,
        **{f"{name}_probability": float(curves.probability.mean()) for name, curves in mean.curves.items()},
    }
