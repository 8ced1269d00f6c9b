"""Stage *finish* of an occlusion sweep: the contact sheet and the job's summary."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.database.datasets import Dataset, Image
from shared.jobs.left_out import LEFT_OUT
from shared.jobs.tables import Job
from shared.kinds.occlusion.specification import OcclusionSpecification
from shared.kinds.occlusion.tables import OcclusionJob, OcclusionMap
from unitscope.drawing import pictures
from unitscope.drawing.occlusion import contact_sheet
from unitscope.drawing.pictures import Picture
from worker.kinds.common import register_artifacts, require_some, stage_results, summarize_left_out
from worker.kinds.occlusion.rows import caption, rows_of
from worker.runner import ShardContext

SHOWN_IMAGES = 1000  # on the contact sheet, which image viewers can't open if it is larger


def finish(context: ShardContext) -> None:
    """Draw the contact sheet and write the job's summary."""
    specification = cast(OcclusionSpecification, context.specification)
    rows = rows_of(context)
    require_some(context, len(specification.images) - len(rows), len(specification.images))
    with context.database.read() as session:
        dataset = session.get_one(Dataset, specification.dataset_id)
        images = {
            image.id: image
            for image in session.scalars(
                select(Image)
                .join(OcclusionMap, OcclusionMap.image_id == Image.id)
                .where(OcclusionMap.job_id == context.claim.job_id)
            )
        }
    pixels: list[Picture] = []
    classes: Counter[int] = Counter()
    for path in stage_results(context, "draw"):
        with np.load(context.store.verified(path), allow_pickle=False) as part:
            if len(pixels) < SHOWN_IMAGES:
                pixels += list(part["rows"])
            classes.update(dict(part["classes"].tolist()))
    shown = [
        (caption(images[row.image_id]), _result_caption(row), picture)
        for row, picture in zip(rows[:SHOWN_IMAGES], pixels, strict=False)
    ]
    more = f", the first {SHOWN_IMAGES}" if len(rows) > SHOWN_IMAGES else ""
    title = (
        f"{specification.network.name} {specification.layer} on {dataset.name}: {specification.patch} px hidden, "
        f"every {specification.stride}; {len(rows)} images{more}"
    )
    drawn = contact_sheet(shown, title, by_frequency(classes), dataset.class_names, _sheet_columns(len(shown)))
    sheet = context.store.put(pictures.jpeg(drawn), ".jpg")

    def write(session: Session) -> None:
        register_artifacts(context, session, [sheet])
        session.merge(OcclusionJob(job_id=context.claim.job_id, contact_sheet_path=sheet.path))
        summary = _summary(specification, rows, summarize_left_out(context, session))
        session.get_one(Job, context.claim.job_id).summary = summary

    context.complete(write)


def by_frequency(counts: Counter[int]) -> list[int]:
    """Return the classes by descending count, ties by class index. (``Counter.most_common`` would order ties by
    insertion, which depends on the shards.)"""
    return sorted(counts, key=lambda label: (-counts[label], label))


def _result_caption(row: OcclusionMap) -> str:
    """Return the key figures of a row as a caption."""
    changes = f"{row.class_changes / row.positions:.0%} of positions change the answer"
    return f"p {row.clear_probability:.2f}, least {row.min_probability:.2f}; answer {row.clear_class}; {changes}"


def _sheet_columns(images: int) -> int:
    """Return the number of columns that makes the sheet about square; an image's part is 3.5 times as wide as
    high."""
    return max(1, round(math.sqrt(images / 3.5)))


def _summary(
    specification: OcclusionSpecification, rows: Sequence[OcclusionMap], left_out: dict[str, Any]
) -> dict[str, Any]:
    """Return the key figures of the job's result."""
    changed = [row for row in rows if row.class_changes]
    errors = [row.error for row in rows if row.error is not None]
    summary: dict[str, Any] = {
        "images": len(rows),
        **left_out,
        LEFT_OUT: len(specification.images) - len(rows),
        "positions": rows[0].positions,
        "computed_share": sum(row.computed for row in rows) / sum(row.positions for row in rows),
        "engine": rows[0].engine,
        "images_whose_class_changes": len(changed),
        "mean_drop": float(np.mean([row.clear_probability - row.min_probability for row in rows])),
    }
    if errors:
        summary["largest_measured_error"] = max(errors)
    box_means = [
        (row.inside_probability, row.outside_probability) for row in rows if row.inside_probability is not None
    ]
    if box_means:
        inside, outside = np.mean(np.array(box_means), 0).tolist()
        summary["probability_inside_box"], summary["probability_outside_box"] = inside, outside
    return summary
