"""Stage *finish* of a job of feature maps: the sheet of its images and layers, and the job's summary."""

from __future__ import annotations

from typing import cast

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.jobs.left_out import LEFT_OUT
from shared.jobs.tables import Job
from shared.kinds.features.specification import FeaturesSpecification
from shared.kinds.features.tables import FeatureImage, FeaturesJob
from unitscope.drawing import pictures
from unitscope.drawing.features import SHEET_IMAGES, feature_sheet
from unitscope.drawing.pictures import Picture
from worker.kinds.common import register_artifacts, require_some, stage_results, summarize_left_out
from worker.kinds.features.images import job_images
from worker.runner import ShardContext


def finish(context: ShardContext) -> None:
    """Draw the sheet and write the job's summary."""
    specification = cast(FeaturesSpecification, context.specification)
    with context.database.read() as session:
        of_job = FeatureImage.job_id == context.claim.job_id
        count = session.scalar(select(func.count()).select_from(FeatureImage).where(of_job)) or 0
    require_some(context, specification.image_count - count, specification.image_count)
    rows: dict[int, Picture] = {}
    for path in stage_results(context, "extract"):
        with np.load(context.store.verified(path), allow_pickle=False) as part:
            rows |= dict(zip(part["numbers"].tolist(), part["rows"], strict=True))
    shown = min(specification.image_count, SHEET_IMAGES)
    captions = {image.number: image.caption for image in job_images(context, 0, shown)}
    more = f", the first {SHEET_IMAGES}" if specification.image_count > SHEET_IMAGES else ""
    sheet = feature_sheet(
        f"{specification.network.name}: features of {count} image{'s' if count > 1 else ''}{more}",
        [layer.title for layer in specification.layers],
        [(captions[number], rows[number]) for number in sorted(rows)],
    )
    stored = context.store.put(pictures.png(sheet), ".png")

    def write(session: Session) -> None:
        register_artifacts(context, session, [stored])
        session.merge(FeaturesJob(job_id=context.claim.job_id, sheet_path=stored.path))
        session.get_one(Job, context.claim.job_id).summary = {
            "images": count,
            **summarize_left_out(context, session),
            LEFT_OUT: specification.image_count - count,
            "layers": len(specification.layers),
        }

    context.complete(write)
