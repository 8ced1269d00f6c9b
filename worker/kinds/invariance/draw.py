"""Stage *draw* of an invariance job: the figure of each image, and its part of the figure of all images."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from sqlalchemy.orm import Session

from shared.database.datasets import Dataset
from shared.errors import ImageNoLongerReadable
from shared.kinds.invariance.specification import InvarianceSpecification
from shared.kinds.invariance.tables import InvarianceImage
from shared.store.store import StoredFile
from unitscope.data.images import UnreadableImage, read_cached
from unitscope.drawing.invariance import MOST_IMAGES, DrawnImage, draw_invariance, examples, spread
from worker.kinds.common import numbered_images, register_artifacts
from worker.kinds.invariance.rows import caption, image_rows, read_measured, used_cache
from worker.runner import ShardContext


def draw(context: ShardContext) -> None:
    """Draw the figures of a shard's images, and store the examples for the figure of all images."""
    specification = cast(InvarianceSpecification, context.specification)
    numbers = specification.images[context.payload["start"] : context.payload["stop"]]
    images = numbered_images(context, numbers, whole_files=specification.whole_files)
    sources = {image.id: source for image, source in images}
    with context.database.read() as session:
        class_names = session.get_one(Dataset, specification.dataset_id).class_names
    cache = used_cache(context, specification)
    on_figure = shown_ids(context)
    figures: dict[int, StoredFile] = {}
    shown: dict[str, np.ndarray] = {}
    for image, row in image_rows(context, list(sources)):
        source = sources[image.id]
        try:
            pixels = read_cached(source, specification.network.image_size, cache)
        except UnreadableImage as error:  # the stage measure could read it
            raise ImageNoLongerReadable(
                image=source.path, reason=str(error), job_id=context.claim.job_id
            ) from error
        whole = torch.from_numpy(pixels).permute(2, 0, 1)
        pictures = examples(whole, specification.series, specification.outside, specification.interpolation)
        drawn = DrawnImage(image.class_name, read_measured(context, row, class_names), pictures)
        layers = [layer.layer for layer in specification.layers]
        figures[image.id] = context.store.put(draw_invariance(caption(image), layers, [drawn]), ".png")
        if image.id in on_figure:
            shown |= {f"{image.id}-{transformation}": picture for transformation, picture in pictures.items()}
        context.progress()
    result = context.store.write(".npz", lambda file: np.savez(file, allow_pickle=False, **shown))

    def write(session: Session) -> None:
        register_artifacts(context, session, [result, *figures.values()])
        for image_id, figure in figures.items():
            session.get_one(InvarianceImage, (context.claim.job_id, image_id)).picture_path = figure.path

    context.complete(write, result.path)


def shown_ids(context: ShardContext) -> list[int]:
    """Return the ids of the images on the figure of all images."""
    ids = [image.id for image, _ in image_rows(context)]
    return [ids[number] for number in spread(len(ids), MOST_IMAGES)] if ids else []
