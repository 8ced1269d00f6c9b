"""Stage *finish*: store the mean brightness of each class as the job's summary."""

from __future__ import annotations

from shared.kinds.brightness.tables import ImageBrightness
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.database.datasets import Image
from shared.jobs.tables import Job
from worker.runner import ShardContext


def finish(context: ShardContext) -> None:
    """Summarize the rows."""
    query = (
        select(Image.class_name, func.avg(ImageBrightness.brightness))
        .join(ImageBrightness, ImageBrightness.image_id == Image.id)
        .where(ImageBrightness.job_id == context.claim.job_id)
        .group_by(Image.class_name)
        .order_by(Image.class_name)
    )
    with context.database.read() as session:
        means = {name: float(mean) for name, mean in session.execute(query)}

    def write(session: Session) -> None:
        session.get_one(Job, context.claim.job_id).summary = means

    context.complete(write)
