"""Recompute rows of a job of feature maps."""

from __future__ import annotations

import random
from typing import cast

from sqlalchemy import select

from shared.kinds.features.specification import FeaturesSpecification
from shared.kinds.features.tables import FeatureMap
from unitscope.data.images import UnreadableImage
from worker.context import JobContext
from worker.kinds.checking import Comparison
from worker.kinds.features.extract import features_of, statistics
from worker.kinds.features.images import ImageReader, job_images

# A value that rounds to 0 or to slightly more than 0 changes these by a little; they may differ by 0.001 and by 1.
SCALES = {"positive_share": 10.0, "silent_channels": 1e4}


def check(context: JobContext, chance: random.Random, sample: int) -> Comparison:
    """Recompute the features of a sample of images in all layers, and compare their statistics."""
    specification = cast(FeaturesSpecification, context.specification)
    with context.database.read() as session:
        query = select(FeatureMap).where(FeatureMap.job_id == context.job_id)
        rows = list(session.scalars(query.order_by(FeatureMap.image_number, FeatureMap.layer_number)))
    numbers = sorted({row.image_number for row in rows})
    chosen = chance.sample(numbers, min(sample, len(numbers)))
    comparison = Comparison()
    reader = ImageReader(context, specification)
    for number in sorted(chosen):
        (image,) = job_images(context, number - 1, number)
        try:
            pixels = reader.read(image)
        except UnreadableImage as error:
            comparison.row(f"image {number}", f"the image can't be read: {error}")
            continue
        recomputed = features_of(context, specification, pixels)
        for row in rows:
            if row.image_number != number:
                continue
            found = recomputed[row.layer_number - 1]
            name = f"image {number}, {row.layer}"
            same = (row.channels, row.rows, row.cols) == found.shape
            comparison.row(name, None if same else "the maps have another shape")
            largest = max(abs(found.minimum), abs(found.maximum))
            for column, value in statistics(found).items():
                scale = SCALES.get(column, largest)
                comparison.number(f"{name}, {column}", getattr(row, column), value, scale=scale)
    return comparison
