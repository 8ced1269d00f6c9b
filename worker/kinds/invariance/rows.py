"""The rows of an invariance job, and the measurements that they hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from shared.database.datasets import Image
from shared.kinds.invariance.specification import InvarianceSpecification
from shared.kinds.invariance.tables import InvarianceDistance, InvarianceImage, InvariancePrediction
from unitscope.data.pixel_cache import PixelCache
from unitscope.invariance.measure import Curves, ImageInvariance
from worker.context import JobContext
from worker.kinds.common import pixel_cache
from worker.runner import ShardContext

OF_IMAGES = (InvarianceDistance, InvariancePrediction, InvarianceImage)


def used_cache(context: JobContext, specification: InvarianceSpecification) -> PixelCache | None:
    """Return the pixel cache, or None for whole files, which it does not hold."""
    return None if specification.whole_files else pixel_cache(context, specification.network.image_size)


def remove_rows(context: ShardContext, session: Session, image_ids: Sequence[int]) -> None:
    """Delete the rows of these images that an earlier run of the shard wrote."""
    for table in OF_IMAGES:
        of_job = table.job_id == context.claim.job_id
        session.execute(delete(table).where(of_job, table.image_id.in_(image_ids)))


def add_rows(
    context: ShardContext,
    session: Session,
    image_id: int,
    measured: ImageInvariance,
    class_names: Sequence[str],
) -> None:
    """Add the rows of an image."""
    specification: InvarianceSpecification = context.specification  # type: ignore[assignment]
    job_id = context.claim.job_id
    session.add(
        InvarianceImage(
            job_id=job_id,
            image_id=image_id,
            clear_probability=measured.clear_probability,
            clear_class=class_names[measured.clear_class],
        )
    )
    predictions, distances = [], []
    for transformation, curves in measured.curves.items():
        relative = measured.relative(transformation)
        for column, value in enumerate(curves.values.tolist()):
            common = {"job_id": job_id, "image_id": image_id, "transformation": transformation, "value": value}
            predictions.append(
                {
                    **common,
                    "probability": float(curves.probability[column]),
                    "class_name": class_names[int(curves.classes[column])],
                }
            )
            for row, layer in enumerate(specification.layers):
                share = float(relative[row, column])
                distances.append(
                    {
                        **common,
                        "layer": layer.layer,
                        "layer_path": layer.path,
                        "distance": float(curves.distances[row, column]),
                        "relative_distance": None if np.isnan(share) else share,
                    }
                )
    session.flush()
    session.execute(insert(InvariancePrediction), predictions)
    session.execute(insert(InvarianceDistance), distances)


def image_rows(context: JobContext, image_ids: Sequence[int] | None = None) -> list[tuple[Image, InvarianceImage]]:
    """Return the images that were measured, or those of them that are given, ordered by id."""
    query = select(Image, InvarianceImage).join(InvarianceImage, InvarianceImage.image_id == Image.id)
    query = query.where(InvarianceImage.job_id == context.job_id)
    if image_ids is not None:
        query = query.where(Image.id.in_(image_ids))
    with context.database.read() as session:
        return [(image, row) for image, row in session.execute(query.order_by(Image.id))]


def read_measured(context: JobContext, row: InvarianceImage, class_names: Sequence[str]) -> ImageInvariance:
    """Return the measurements of an image. The norms are not stored: they are NaN."""
    specification: InvarianceSpecification = context.specification  # type: ignore[assignment]
    with context.database.read() as session:
        predictions = {
            (prediction.transformation, prediction.value): prediction
            for prediction in session.scalars(
                select(InvariancePrediction).where(
                    InvariancePrediction.job_id == context.job_id, InvariancePrediction.image_id == row.image_id
                )
            )
        }
        distances = {
            (distance.transformation, distance.value, distance.layer): distance.distance
            for distance in session.scalars(
                select(InvarianceDistance).where(
                    InvarianceDistance.job_id == context.job_id, InvarianceDistance.image_id == row.image_id
                )
            )
        }
    layers = [layer.layer for layer in specification.layers]
    index = {name: number for number, name in enumerate(class_names)}
    curves = {}
    for transformation, values in specification.series.items():
        found = [predictions[transformation, value] for value in values]
        curves[transformation] = Curves(
            np.array(values),
            np.array([[distances[transformation, value, layer] for value in values] for layer in layers]),
            np.array([prediction.probability for prediction in found]),
            np.array([index[prediction.class_name] for prediction in found]),
        )
    return ImageInvariance(curves, np.full(len(layers), np.nan), row.clear_probability, index[row.clear_class])


def caption(image: Image) -> str:
    """Return an image's class, path and object number as a caption."""
    number = f", object {image.object_number}" if image.object_number else ""
    return f"{image.class_name}: {image.path}{number}"
