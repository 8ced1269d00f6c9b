"""Recompute rows of an invariance job: distances and predictions of a sample of images."""

from __future__ import annotations

import random
from typing import cast

import torch
from sqlalchemy import select

from shared.database.datasets import Dataset
from shared.kinds.invariance.specification import InvarianceSpecification
from shared.kinds.invariance.tables import InvarianceDistance, InvariancePrediction
from unitscope.data.images import ImageSource, UnreadableImage, read_image
from unitscope.invariance.measure import ImageInvariance, Measurement
from worker.context import JobContext
from worker.kinds.checking import Comparison
from worker.kinds.common import numbered_images
from worker.kinds.invariance.measure import measurement_of
from worker.kinds.invariance.rows import image_rows


def check(context: JobContext, chance: random.Random, sample: int) -> Comparison:
    """Measure some images again and compare all their rows."""
    specification = cast(InvarianceSpecification, context.specification)
    with context.database.read() as session:
        class_names = session.get_one(Dataset, specification.dataset_id).class_names
    rows = image_rows(context)
    images = numbered_images(context, specification.images, whole_files=specification.whole_files)
    sources = {image.id: source for image, source in images}
    measurement = measurement_of(context)
    comparison = Comparison()
    for image, row in chance.sample(rows, min(sample, len(rows))):
        name = f"image {image.id}"
        try:
            measured = _measured(specification, measurement, sources[image.id])
        except UnreadableImage as error:
            comparison.row(name, f"the image can't be read: {error}")
            continue
        predicted = class_names[measured.clear_class]
        same = predicted == row.clear_class
        comparison.row(name, None if same else f"recorded class {row.clear_class}, recomputed {predicted}")
        comparison.number(f"{name}, probability", row.clear_probability, measured.clear_probability, scale=1)
        _compare_rows(context, comparison, image.id, measured)
    return comparison


def _measured(
    specification: InvarianceSpecification, measurement: Measurement, source: ImageSource
) -> ImageInvariance:
    pixels = torch.from_numpy(read_image(source, specification.network.image_size).copy()).permute(2, 0, 1)
    return measurement.run(pixels, source.label)


def _compare_rows(context: JobContext, comparison: Comparison, image_id: int, measured: ImageInvariance) -> None:
    specification = cast(InvarianceSpecification, context.specification)
    prediction, distance = InvariancePrediction, InvarianceDistance
    with context.database.read() as session:
        predictions = {
            (row.transformation, row.value): row.probability
            for row in session.scalars(
                select(prediction).where(prediction.job_id == context.job_id, prediction.image_id == image_id)
            )
        }
        distances = {
            (row.transformation, row.value, row.layer): row.distance
            for row in session.scalars(
                select(distance).where(distance.job_id == context.job_id, distance.image_id == image_id)
            )
        }
    for transformation, curves in measured.curves.items():
        for column, value in enumerate(curves.values.tolist()):
            name = f"image {image_id}, {transformation} {value:g}"
            recorded = predictions.get((transformation, value))
            if recorded is None:
                comparison.row(name, "the row is missing")
                continue
            comparison.number(f"{name}, probability", recorded, float(curves.probability[column]), scale=1)
            for number, layer in enumerate(specification.layers):
                stored = distances.get((transformation, value, layer.layer))
                if stored is None:
                    comparison.row(f"{name}, {layer.layer}", "the row is missing")
                    continue
                scale = float(measured.clear_norms[number])  # rounding errors are relative to the features
                label = f"{name}, distance of {layer.layer}"
                comparison.number(label, stored, float(curves.distances[number, column]), scale)
