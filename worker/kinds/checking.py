"""Comparison of recorded and recomputed values, for the checks of all kinds."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from sqlalchemy import select

from shared.jobs.tables import LeftOutImage
from unitscope.data.images import UnreadableImage, read_image
from worker.context import JobContext
from worker.kinds.common import sources_by_id

ROUNDING = 1e-4  # relative difference allowed for other batch sizes and devices


@dataclass
class Comparison:
    """Differences between the rows of a job and recomputed values."""

    rows: int = 0
    largest_difference: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def row(self, name: str, problem: str | None = None) -> None:
        """Count a row; ``problem`` describes a difference other than in its numbers."""
        self.rows += 1
        if problem:
            self.wrong.append(f"{name}: {problem}")

    def number(self, name: str, recorded: float, recomputed: float, scale: float = 0.0) -> None:
        """Compare two numbers; the difference is relative to the larger of both and ``scale``."""
        difference = abs(recorded - recomputed) / max(abs(recorded), abs(recomputed), scale, 1e-12)
        self.largest_difference = max(self.largest_difference, difference)
        if not difference <= ROUNDING:  # written so that NaN is a difference
            self.wrong.append(f"{name}: recorded {recorded:.6g}, recomputed {recomputed:.6g}")


def check_left_out(context: JobContext, chance: random.Random, sample: int, comparison: Comparison) -> None:
    """Read a sample of the images that the job left out again: one that can be read now is a difference.

    Raises
    ------
    ImageUnavailable
    """
    with context.database.read() as session:
        query = select(LeftOutImage.image_id).where(LeftOutImage.job_id == context.job_id)
        left_out = session.scalars(query.order_by(LeftOutImage.image_id)).all()
    sources = sources_by_id(context, sorted(chance.sample(left_out, min(sample, len(left_out)))))
    for image_id, source in sources.items():
        try:
            read_image(source, 1)
            comparison.row(f"image {image_id} ({source.path})", "left out, but can be read")
        except UnreadableImage:
            comparison.row(f"image {image_id}")
