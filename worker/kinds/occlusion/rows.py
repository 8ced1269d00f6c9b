"""The rows of an occlusion sweep: one per image, and on request one per position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from shared.database.datasets import Image
from shared.kinds.occlusion.specification import OcclusionSpecification
from shared.kinds.occlusion.tables import OcclusionMap, OcclusionPosition
from unitscope.occlusion.sweep import OcclusionMaps
from worker.runner import ShardContext


def swept_box(specification: OcclusionSpecification, image: Image) -> tuple[float, float, float, float] | None:
    """Return the object's box (left, top, right, bottom) in pixels of the network's input, or None if the image
    has no box or the box itself is swept."""
    if image.box is None or not specification.whole_files:
        return None
    across, down = (specification.network.image_size / side for side in (image.width, image.height))
    left, top, right, bottom = image.box
    return left * across, top * down, right * across, bottom * down


def map_columns(maps: OcclusionMaps, class_names: Sequence[str], target: int | None) -> dict[str, Any]:
    """Return the columns of ``OcclusionMap`` that are computed from the maps."""
    target_map = maps.target_probability
    return {
        "unit": maps.unit,
        "clear_activation": maps.clear_activation,
        "clear_probability": maps.clear_probability,
        "clear_class": class_names[maps.clear_class],
        "positions": maps.classes.size,
        "computed": int(maps.computed.sum()),
        "error": maps.error,
        **_minimum("activation", maps),
        **_minimum("probability", maps),
        "class_changes": int((maps.classes != maps.clear_class).sum()),
        "correlation": maps.correlation,
        "target_class": None if target is None else class_names[target],
        "clear_target_probability": maps.clear_target_probability,
        "min_target_probability": None if target_map is None else float(target_map.min()),
        "max_target_probability": None if target_map is None else float(target_map.max()),
    }


def _minimum(name: str, maps: OcclusionMaps) -> dict[str, Any]:
    """Return the minimum of a map and the square's position there; of several minima the first in row-major
    order."""
    values = getattr(maps, name)
    row, col = np.unravel_index(values.argmin(), values.shape)
    return {
        f"min_{name}": float(values[row, col]),
        f"min_{name}_row": int(maps.starts[row]),
        f"min_{name}_col": int(maps.starts[col]),
    }


def means_by_box(
    specification: OcclusionSpecification, image: Image, maps: OcclusionMaps
) -> dict[str, float | None]:
    """Return the mean probability with the square's centre inside, and outside, the object's box."""
    box = swept_box(specification, image)
    inside = None if box is None else maps.centres_inside(box)
    if inside is None or inside.all() or not inside.any():
        return {"inside_probability": None, "outside_probability": None}
    return {
        "inside_probability": float(maps.probability[inside].mean()),
        "outside_probability": float(maps.probability[~inside].mean()),
    }


def record_positions(context: ShardContext, image: Image, maps: OcclusionMaps, class_names: Sequence[str]) -> None:
    """Record a row for every position, replacing rows of an earlier, incomplete attempt."""
    target = maps.target_probability
    rows = [
        {
            "job_id": context.claim.job_id,
            "image_id": image.id,
            "row": int(maps.starts[row]),
            "col": int(maps.starts[col]),
            "activation": float(maps.activation[row, col]),
            "probability": float(maps.probability[row, col]),
            "target_probability": None if target is None else float(target[row, col]),
            "class_name": class_names[int(maps.classes[row, col])],
        }
        for row, col in np.ndindex(maps.classes.shape)
    ]

    def write(session: Session) -> None:
        of_image = OcclusionPosition.image_id == image.id
        session.execute(
            delete(OcclusionPosition).where(OcclusionPosition.job_id == context.claim.job_id, of_image)
        )
        session.execute(insert(OcclusionPosition), rows)

    context.record(write)


def remove_rows(
    context: ShardContext, session: Session, image_ids: Sequence[int], swept_ids: Sequence[int]
) -> None:
    """Delete the rows of these images that an earlier run of the shard wrote, but keep the positions of those that
    were swept again."""
    job_id = context.claim.job_id
    session.execute(
        delete(OcclusionMap).where(OcclusionMap.job_id == job_id, OcclusionMap.image_id.in_(image_ids))
    )
    left_out = sorted(set(image_ids) - set(swept_ids))
    session.execute(
        delete(OcclusionPosition).where(
            OcclusionPosition.job_id == job_id, OcclusionPosition.image_id.in_(left_out)
        )
    )


def rows_of(context: ShardContext, image_ids: Sequence[int] | None = None) -> list[OcclusionMap]:
    """Return the job's rows, or those of the given images, ordered by image id."""
    query = select(OcclusionMap).where(OcclusionMap.job_id == context.claim.job_id)
    if image_ids is not None:
        query = query.where(OcclusionMap.image_id.in_(image_ids))
    with context.database.read() as session:
        return list(session.scalars(query.order_by(OcclusionMap.image_id)))


def caption(image: Image) -> str:
    """Return an image's class, path and object number as a caption."""
    number = f", object {image.object_number}" if image.object_number else ""
    return f"{image.class_name}: {image.path}{number}"
