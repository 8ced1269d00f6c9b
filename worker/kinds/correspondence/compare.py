"""Stage *compare* of a correspondence job: all pairs of images, the figure, and the job's summary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from PIL import Image as PictureFile
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from shared.database.datasets import Dataset, Image
from shared.jobs.left_out import LEFT_OUT
from shared.jobs.tables import Job
from shared.kinds.correspondence.specification import CorrespondenceSpecification
from shared.kinds.correspondence.tables import (
    CorrespondenceImage,
    CorrespondenceJob,
    CorrespondencePair,
    CorrespondencePart,
)
from unitscope.correspondence.pairs import Correspondence
from unitscope.correspondence.pairs import compare as compare_pairs
from unitscope.correspondence.signs import read_signs
from unitscope.drawing.correspondence import MOST_IMAGES, draw_masked
from worker.context import JobContext
from worker.kinds.common import register_artifacts, require_some, summarize_left_out
from worker.runner import ShardContext

CHUNK = 10_000  # rows


def compare(context: ShardContext) -> None:
    """Compare all pairs of images for each part and layer, and draw the figure."""
    specification = cast(CorrespondenceSpecification, context.specification)
    rows = image_rows(context)
    masked = sorted({row.image_id for _, row in rows})
    require_some(context, len(specification.images) - len(masked), len(specification.images))
    parts: list[dict[str, Any]] = []
    pairs: list[dict[str, Any]] = []
    for part_number, part in enumerate(specification.parts):
        of_part = [row for _, row in rows if row.part == part]
        paths = [context.store.verified(row.array_path) for row in of_part]
        for layer_number, layer in enumerate(specification.layers):
            found = compare_pairs(
                len(of_part),
                specification.draws,
                lambda image, draw, number=part_number, layer=layer_number, paths=paths: read_signs(  # type: ignore[misc]
                    paths[image], number, layer, draw
                ),
                context.progress,
            )
            common = {"job_id": context.claim.job_id, "part": part, "layer": layer.layer}
            parts.append({**common, "layer_path": layer.path, **_means(found)})
            pairs += [{**common, **pair} for pair in _pairs(found, [row.image_id for row in of_part])]
    figure = context.store.put(_figure(context, rows), ".png")

    def write(session: Session) -> None:
        register_artifacts(context, session, [figure])
        for table in (CorrespondencePair, CorrespondencePart):
            session.execute(delete(table).where(table.job_id == context.claim.job_id))
        session.execute(insert(CorrespondencePart), parts)
        for start in range(0, len(pairs), CHUNK):
            session.execute(insert(CorrespondencePair), pairs[start : start + CHUNK])
        session.merge(CorrespondenceJob(job_id=context.claim.job_id, figure_path=figure.path))
        summary = {
            "images": len(masked),
            **summarize_left_out(context, session),
            LEFT_OUT: len(specification.images) - len(masked),
            "parts": len(specification.parts),
            "pairs": sum(part["pairs"] for part in parts) // len(specification.layers),
            "parts_skipped": len(specification.skipped),
            "smaller_than_random": sum(
                part["distance"] is not None and part["distance"] < part["random_distance"] for part in parts
            ),
            "compared": sum(part["distance"] is not None for part in parts),
        }
        session.get_one(Job, context.claim.job_id).summary = summary

    context.complete(write)


def image_rows(context: JobContext) -> list[tuple[Image, CorrespondenceImage]]:
    """Return the images and parts that were masked, ordered by the images' ids and the parts' names."""
    query = select(Image, CorrespondenceImage).join(CorrespondenceImage, CorrespondenceImage.image_id == Image.id)
    query = query.where(CorrespondenceImage.job_id == context.job_id)
    with context.database.read() as session:
        ordered = query.order_by(Image.id, CorrespondenceImage.part)
        return [(image, row) for image, row in session.execute(ordered)]


def _means(found: Correspondence) -> dict[str, Any]:
    """Return the columns of ``CorrespondencePart`` that are computed from the pairs."""
    return {
        "images": found.images,
        "pairs": len(found.pairs),
        "distance": found.distance,
        "spread": found.spread,
        "random_distance": found.random_distance,
        "random_spread": found.random_spread,
        "below_chance": found.below_chance,
    }


def _pairs(found: Correspondence, image_ids: Sequence[int]) -> list[dict[str, Any]]:
    """Return the columns of ``CorrespondencePair`` for each pair. Images are ordered by id."""
    return [
        {
            "image_id": image_ids[one],
            "other_image_id": image_ids[other],
            "distance": distance,
            "random_distance": by_chance,
        }
        for (one, other), distance, by_chance in zip(
            found.pairs.tolist(), found.distances.tolist(), found.random_by_pair.tolist(), strict=True
        )
    ]


def _figure(context: ShardContext, rows: Sequence[tuple[Image, CorrespondenceImage]]) -> bytes:
    """Draw the first images with their parts masked."""
    specification = cast(CorrespondenceSpecification, context.specification)
    with context.database.read() as session:
        dataset = session.get_one(Dataset, specification.dataset_id).name
    shown: dict[int, tuple[str, np.ndarray]] = {}
    for image, row in rows:
        if image.id not in shown and len(shown) < MOST_IMAGES:
            picture = np.asarray(PictureFile.open(context.store.verified(row.picture_path)).convert("RGB"))
            number = f", {image.object_number}" if image.object_number else ""
            shown[image.id] = (f"{image.path.rsplit('/', 1)[-1]}{number}", picture)
    title = f"{specification.network.name} on {dataset}: masked parts"
    return draw_masked(title, specification.parts, specification.draws, list(shown.values()))
