"""Stage *draw* of an occlusion sweep: the figure of each image, and its part of the contact sheet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from PIL import Image as PictureFile
from sqlalchemy import text
from sqlalchemy.orm import Session

from shared.database.datasets import Dataset, Image
from shared.errors import ImageNoLongerReadable
from shared.kinds.occlusion.specification import OcclusionSpecification
from shared.kinds.occlusion.tables import OcclusionMap
from shared.store.store import StoredFile
from unitscope.data.images import ImageSource, UnreadableImage, read_cached
from unitscope.data.pixel_cache import PixelCache
from unitscope.drawing.occlusion import OcclusionFigure, contact_row, draw_figure
from unitscope.drawing.pictures import Picture
from unitscope.occlusion.arrays import read_maps
from unitscope.occlusion.occluders import filling
from worker.kinds.common import numbered_images, register_artifacts
from worker.kinds.occlusion.rows import caption, rows_of, swept_box
from worker.kinds.occlusion.sweep import swept_cache
from worker.runner import ShardContext


def draw(context: ShardContext) -> None:
    """Draw the figures of a shard's images and their parts of the contact sheet."""
    specification = cast(OcclusionSpecification, context.specification)
    numbers = specification.images[context.payload["start"] : context.payload["stop"]]
    images = numbered_images(context, numbers, whole_files=specification.whole_files)
    rows = {row.image_id: row for row in rows_of(context, [image.id for image, _ in images])}
    with context.database.read() as session:
        class_names = session.get_one(Dataset, specification.dataset_id).class_names
    cache = swept_cache(context, specification)
    figures: dict[int, StoredFile] = {}
    parts: list[Picture] = []
    classes: Counter[int] = Counter()
    for image, source in images:
        if row := rows.get(image.id):  # missing if the image could not be read
            figure = _figure(context, specification, class_names, image, row, source, cache)
            figures[image.id] = context.store.put(draw_figure(figure), ".png")
            parts.append(contact_row(figure.image, figure.maps, figure.filled))
            classes.update(figure.maps.classes.ravel().tolist())
        context.progress()
    class_counts = np.array(sorted(classes.items()), np.int64).reshape(-1, 2)
    result = context.store.write(
        ".npz", lambda file: np.savez(file, allow_pickle=False, rows=np.array(parts), classes=class_counts)
    )

    def write(session: Session) -> None:
        register_artifacts(context, session, [result, *figures.values()])
        for image_id, figure in figures.items():
            session.get_one(OcclusionMap, (context.claim.job_id, image_id)).picture_path = figure.path

    context.complete(write, result.path)


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
        pixels = read_cached(source, specification.network.image_size, cache)
    except UnreadableImage as error:  # the stage sweep could read it
        raise ImageNoLongerReadable(image=source.path, reason=str(error), job_id=context.claim.job_id) from error
    whole = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]  # those of the cache are read-only
    filled = filling(whole, specification.fill, specification.patch, specification.seed)[0]
    drawn = [
        np.asarray(PictureFile.open(context.store.verified(path)).convert("RGB")) if path else None
        for path in (row.projection_path, row.patch_path)
    ]
    return OcclusionFigure(
        image=pixels,
        maps=read_maps(context.store.verified(row.array_path)),
        title=caption(image),
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
    """Return the mosaics of the unit's projections and image patches from the top-9 job, or None."""
    if specification.top9_job_id is None:
        return None
    query = text(
        "SELECT projections_path, patches_path FROM units "
        "WHERE job_id = :job AND layer_path = :path AND unit = :unit"
    )
    with context.database.read() as session:
        parameters = {"job": specification.top9_job_id, "path": specification.path, "unit": unit}
        row = session.execute(query, parameters).one_or_none()
    if row is None or row.projections_path is None or row.patches_path is None:
        return None
    try:
        projections, patches = (
            np.asarray(PictureFile.open(context.store.verified(path)).convert("RGB"))
            for path in (row.projections_path, row.patches_path)
        )
    except PictureFile.DecompressionBombError:  # of hundreds of megapixels: the figure has no place for it
        return None
    return projections, patches
