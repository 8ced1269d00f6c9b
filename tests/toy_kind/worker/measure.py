"""Stage *measure*: compute the brightness of the images of a shard."""

from __future__ import annotations

from typing import cast

from shared.kinds.brightness.specification import BrightnessSpecification
from shared.kinds.brightness.tables import ImageBrightness
from sqlalchemy.orm import Session

from unitscope.data.images import Skipped, UnreadableImage, read_image
from worker.kinds.common import report_skipped, split_sources
from worker.runner import ShardContext

SIZE = 64  # pixels


def measure(context: ShardContext) -> None:
    """Read the images of the shard and record the mean of each."""
    asked = cast(BrightnessSpecification, context.specification)
    found: dict[int, float] = {}
    skipped: list[Skipped] = []
    for source in split_sources(context, asked.split, context.payload["start"], context.payload["stop"]):
        try:
            found[source.id] = float(read_image(source, SIZE).mean())
        except UnreadableImage as error:
            skipped.append(Skipped(source, str(error)))
        context.progress()
    report_skipped(context, skipped)

    def write(session: Session) -> None:
        session.add_all(
            ImageBrightness(job_id=context.claim.job_id, image_id=image, brightness=value)
            for image, value in found.items()
        )

    context.complete(write)
