"""Recomputation of rows for ``analyze verify``."""

from __future__ import annotations

import random

from shared.kinds.brightness.tables import ImageBrightness
from sqlalchemy import select
from worker.kinds.brightness.measure import SIZE

from unitscope.data.images import read_image
from worker.context import JobContext
from worker.kinds.checking import Comparison
from worker.kinds.common import sources_by_id


def check(context: JobContext, chance: random.Random, sample: int) -> Comparison:
    """Recompute the brightness of some randomly chosen images."""
    query = select(ImageBrightness).where(ImageBrightness.job_id == context.job_id)
    with context.database.read() as session:
        rows = list(session.scalars(query.order_by(ImageBrightness.image_id)))
    comparison = Comparison()
    chosen = chance.sample(rows, min(sample, len(rows)))
    sources = sources_by_id(context, [row.image_id for row in chosen])
    for row in chosen:
        comparison.row(f"image {row.image_id}")
        found = float(read_image(sources[row.image_id], SIZE).mean())
        comparison.number(f"image {row.image_id}, brightness", row.brightness, found)
    return comparison
