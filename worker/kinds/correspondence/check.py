"""Recompute rows of a correspondence job: the distances of a sample of pairs of images."""

from __future__ import annotations

import random
from typing import cast

import numpy as np
import torch
from sqlalchemy import select

from shared.kinds.correspondence.specification import CorrespondenceSpecification
from shared.kinds.correspondence.tables import CorrespondencePair
from unitscope.correspondence.measure import Masking
from unitscope.correspondence.signs import Key, Signs, hamming
from unitscope.data.images import ImageSource, UnreadableImage, read_image
from worker.context import JobContext
from worker.kinds.checking import Comparison
from worker.kinds.common import numbered_images
from worker.kinds.correspondence.mask import masking_of


def check(context: JobContext, chance: random.Random, sample: int) -> Comparison:
    """Mask the images of some pairs again and compare their distances, also with random masks."""
    specification = cast(CorrespondenceSpecification, context.specification)
    query = select(CorrespondencePair).where(CorrespondencePair.job_id == context.job_id)
    order = (CorrespondencePair.part, CorrespondencePair.layer, CorrespondencePair.image_id)
    with context.database.read() as session:
        rows = list(session.scalars(query.order_by(*order, CorrespondencePair.other_image_id)))
    listed = numbered_images(context, specification.images, whole_files=specification.whole_files)
    numbered = zip(specification.images, listed, strict=True)
    images = {image.id: (number, source) for number, (image, source) in numbered}
    masking = masking_of(context)
    layers = [layer.layer for layer in specification.layers]
    masked: dict[int, dict[Key, Signs]] = {}
    comparison = Comparison()
    for row in chance.sample(rows, min(sample, len(rows))):
        name = f"{row.part}, {row.layer}, images {row.image_id} and {row.other_image_id}"
        try:
            for image_id in (row.image_id, row.other_image_id):
                if image_id not in masked:
                    masked[image_id] = _masked(specification, masking, *images[image_id])
        except UnreadableImage as error:
            comparison.row(name, f"the image can't be read: {error}")
            continue
        comparison.row(name)
        part, layer = specification.parts.index(row.part), layers.index(row.layer)
        distances = [
            hamming(*(masked[image_id][part, layer, draw] for image_id in (row.image_id, row.other_image_id)))
            for draw in range(specification.draws + 1)
        ]
        # A share of all features, of which the sign of a few can depend on rounding.
        comparison.number(f"{name}, distance", row.distance, distances[0], scale=1)
        comparison.number(f"{name}, random masks", row.random_distance, float(np.mean(distances[1:])), scale=1)
    return comparison


def _masked(
    specification: CorrespondenceSpecification, masking: Masking, number: int, source: ImageSource
) -> dict[Key, Signs]:
    pixels = torch.from_numpy(read_image(source, specification.network.image_size).copy()).permute(2, 0, 1)
    return masking.run(pixels, specification.boxes_of(number), number)
