"""The pictures of an occlusion sweep: *draw* a figure for each image, *finish* with the contact sheet."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from PIL import Image as PictureFile
from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.errors import ImageGone
from shared.models import Dataset, Image, Job, OcclusionJob, OcclusionMap, SearchedLayer, SearchedUnit
from shared.specifications import OcclusionSpecification
from shared.store import StoredFile
from worker.kinds.common import keep, numbered_images, require_some
from worker.kinds.occlusion import swept_cache, swept_source
from worker.kinds.occlusion_rows import swept_box
from worker.kinds.top9_partials import results_of
from worker.runner import ShardContext
from worker.vision import pictures
from worker.vision.images import ImageSource, UnreadableImage, read_cached
from worker.vision.occluders import filling
from worker.vision.occlusion_arrays import read_maps
from worker.vision.occlusion_pictures import OcclusionFigure, contact_row, contact_sheet, draw_figure
from worker.vision.pictures import Picture
from worker.vision.pixel_cache import PixelCache

SHOWN_IMAGES = 1000  # on the contact sheet: more make a picture that no program opens


def draw(context: ShardContext) -> None:
    """A shard of images: the figure of each, and its part of the contact sheet."""
    specification = cast(OcclusionSpecification, context.specification)
    numbers = specification.images[context.payload["start"] : context.payload["stop"]]
    images = numbered_images(context, numbers)
    rows = {row.image_id: row for row in _rows(context, [image.id for image, _ in images])}
    with context.database.read() as session:
        class_names = session.get_one(Dataset, specification.dataset_id).class_names
    cache = swept_cache(context, specification)
    figures: dict[int, StoredFile] = {}
    parts: list[Picture] = []
    classes: Counter[int] = Counter()
    for image, source in images:
        if row := rows.get(image.id):  # else it could not be read
            figure = _figure(context, specification, class_names, image, row, source, cache)
            figures[image.id] = context.store.put(draw_figure(figure), ".png")
            parts.append(contact_row(figure.image, figure.maps, figure.filled))
            classes.update(figure.maps.classes.ravel().tolist())
        context.progress()
    found = np.array(sorted(classes.items()), np.int64).reshape(-1, 2)
    result = context.store.write(
        ".npz", lambda file: np.savez(file, allow_pickle=False, rows=np.array(parts), classes=found)
    )

    def write(session: Session) -> None:
        keep(context, session, [result, *figures.values()])
        for image_id, figure in figures.items():
            session.get_one(OcclusionMap, (context.claim.job_id, image_id)).picture_path = figure.path

    context.complete(write, result.path)


def finish(context: ShardContext) -> None:
    """The contact sheet, and the job's summary."""
    specification = cast(OcclusionSpecification, context.specification)
    rows = _rows(context)
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
    for path in results_of(context, "draw"):
        with np.load(context.store.verified(path), allow_pickle=False) as part:
            if len(pixels) < SHOWN_IMAGES:
                pixels += list(part["rows"])
            classes.update(dict(part["classes"].tolist()))
    shown = [
        (_caption(images[row.image_id]), _found(row), picture)
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
        keep(context, session, [sheet])
        session.add(OcclusionJob(job_id=context.claim.job_id, contact_sheet_path=sheet.path))
        session.get_one(Job, context.claim.job_id).summary = _summary(specification, rows)

    context.complete(write)


def by_frequency(counts: Counter[int]) -> list[int]:
    """The most frequent first, the smaller number first among equals: a counter's own order is the shards'."""
    return sorted(counts, key=lambda label: (-counts[label], label))


def _rows(context: ShardContext, image_ids: Sequence[int] | None = None) -> list[OcclusionMap]:
    """The job's rows, or those of some images, in the order of the images."""
    query = select(OcclusionMap).where(OcclusionMap.job_id == context.claim.job_id)
    if image_ids is not None:
        query = query.where(OcclusionMap.image_id.in_(image_ids))
    with context.database.read() as session:
        return list(session.scalars(query.order_by(OcclusionMap.image_id)))


def _figure(
    context: ShardContext,
    specification: OcclusionSpecification,
    class_names: Sequence[str],
    image: Image,
    row: OcclusionMap,
    source: ImageSource,
    cache: PixelCache | None,
) -> OcclusionFigure:
    try:
        pixels = read_cached(swept_source(specification, source), specification.network.image_size, cache)
    except UnreadableImage as error:  # it could be read when it was swept
        raise ImageGone(image=source.path, reason=str(error), job_id=context.claim.job_id) from error
    whole = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    filled = filling(whole, specification.fill, specification.patch, specification.seed)[0]
    drawn = [
        np.asarray(PictureFile.open(context.store.verified(path)).convert("RGB")) if path else None
        for path in (row.projection_path, row.patch_path)
    ]
    return OcclusionFigure(
        image=pixels,
        maps=read_maps(context.store.verified(row.array_path)),
        title=_caption(image),
        class_name=image.class_name,
        target_name=row.target_class,
        class_names=class_names,
        layer=row.layer,
        filled=filled.permute(1, 2, 0).numpy(),
        projection=drawn[0],
        patch=drawn[1],
        others=_top_images(context, specification, row.unit),
        box=swept_box(specification, image),
    )


def _top_images(
    context: ShardContext, specification: OcclusionSpecification, unit: int
) -> tuple[Picture, Picture] | None:
    """The unit's mosaics from the search: projections and image patches."""
    if specification.top9_job_id is None:
        return None
    with context.database.read() as session:
        query = select(SearchedUnit).join(SearchedLayer, SearchedLayer.id == SearchedUnit.layer_id)
        of_job = SearchedLayer.job_id == specification.top9_job_id
        of_layer = SearchedLayer.layer_path == specification.path
        found = session.scalars(query.where(of_job, of_layer, SearchedUnit.unit == unit)).one_or_none()
    if found is None or found.projections_path is None or found.patches_path is None:
        return None
    projections, patches = (
        np.asarray(PictureFile.open(context.store.verified(path)).convert("RGB"))
        for path in (found.projections_path, found.patches_path)
    )
    return projections, patches


def _caption(image: Image) -> str:
    number = f", object {image.object_number}" if image.object_number else ""
    return f"{image.class_name}: {image.path}{number}"


def _found(row: OcclusionMap) -> str:
    """A row in a few words."""
    changes = f"{row.class_changes / row.positions:.0%} of positions change the answer"
    return f"p {row.clear_probability:.2f}, least {row.min_probability:.2f}; answer {row.clear_class}; {changes}"


def _sheet_columns(images: int) -> int:
    """So many that the sheet is about square: an image's part is three times as wide as high."""
    return max(1, round(math.sqrt(images / 3)))


def _summary(specification: OcclusionSpecification, rows: Sequence[OcclusionMap]) -> dict[str, Any]:
    """What the job found, in a few numbers."""
    changed = [row for row in rows if row.class_changes]
    errors = [row.error for row in rows if row.error is not None]
    summary: dict[str, Any] = {
        "images": len(rows),
        "images_left_out": len(specification.images) - len(rows),
        "positions": rows[0].positions,
        "computed_share": sum(row.computed for row in rows) / sum(row.positions for row in rows),
        "engine": rows[0].engine,
        "images_whose_class_changes": len(changed),
        "mean_drop": float(np.mean([row.clear_probability - row.min_probability for row in rows])),
    }
    if errors:
        summary["largest_measured_error"] = max(errors)
    both = [
        (row.inside_probability, row.outside_probability) for row in rows if row.inside_probability is not None
    ]
    if both:
        inside, outside = np.mean(np.array(both), 0).tolist()
        summary["probability_inside_box"], summary["probability_outside_box"] = inside, outside
    return summary
