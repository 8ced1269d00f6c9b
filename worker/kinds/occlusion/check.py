"""Recompute rows of an occlusion sweep: each image without the square, and with it at the positions of the
minima."""

from __future__ import annotations

import random
from typing import cast

import torch
from sqlalchemy import select

from shared.database.datasets import Dataset, Image
from shared.kinds.occlusion.specification import OcclusionSpecification
from shared.kinds.occlusion.tables import OcclusionMap
from unitscope.data.images import ImageSource, UnreadableImage, read_image, to_input
from unitscope.occlusion.engines import Full
from unitscope.occlusion.occluders import Grid, filling
from worker.context import JobContext
from worker.kinds.checking import Comparison
from worker.kinds.common import load_network, numbered_images


def check(context: JobContext, chance: random.Random, sample: int) -> Comparison:
    """Recompute a sample of images with the engine ``full``, whichever engine swept them."""
    specification = cast(OcclusionSpecification, context.specification)
    network = specification.network
    grid = Grid(network.image_size, specification.patch, specification.stride)
    engine = Full(load_network(context, network, specification.weights_path), specification.path, grid)
    with context.database.read() as session:
        query = select(OcclusionMap).where(OcclusionMap.job_id == context.job_id)
        rows = {row.image_id: row for row in session.scalars(query)}
        class_names = session.get_one(Dataset, specification.dataset_id).class_names
    images = numbered_images(context, specification.images, whole_files=specification.whole_files)
    swept = [(rows[image.id], image, source) for image, source in images if image.id in rows]
    comparison = Comparison()
    for row, image, source in chance.sample(swept, min(sample, len(swept))):
        _check_image(comparison, specification, engine, row, image, source, class_names)
    return comparison


@torch.inference_mode()
def _check_image(
    comparison: Comparison,
    specification: OcclusionSpecification,
    engine: Full,
    row: OcclusionMap,
    image: Image,
    source: ImageSource,
    class_names: list[str],
) -> None:
    name, network, grid = f"image {image.id}", specification.network, engine.grid
    try:
        pixels = torch.from_numpy(read_image(source, network.image_size)).permute(2, 0, 1)[None]
    except UnreadableImage as error:
        comparison.row(name, f"the image can't be read: {error}")
        return
    square = filling(pixels, specification.fill, grid.patch, specification.seed)
    device = next(engine.model.parameters()).device
    clear_image, filled = (to_input(p, device, network.mean, network.std) for p in (pixels, square))
    clear = engine.clear(clear_image)
    predicted = class_names[int(clear.outputs.argmax())]
    same = predicted == row.clear_class
    comparison.row(name, None if same else f"recorded class {row.clear_class}, recomputed {predicted}")
    minima = [
        (row.min_activation_row, row.min_activation_col),
        (row.min_probability_row, row.min_probability_col),
    ]
    positions = torch.tensor([[grid.starts.index(first), grid.starts.index(second)] for first, second in minima])
    images = torch.zeros(len(positions), dtype=torch.int64)
    sums, outputs = engine.run(clear, filled, images, positions, torch.tensor([row.unit], device=device))
    probability, *occluded = torch.cat([clear.outputs, outputs]).double().softmax(1)[:, image.class_index].tolist()
    activation = float(clear.rectified_sums[0, row.unit])
    comparison.number(f"{name}, clear activation", row.clear_activation, activation)
    comparison.number(f"{name}, clear probability", row.clear_probability, probability, scale=1)
    comparison.number(f"{name}, lowest activation", row.min_activation, float(sums[0]), scale=activation)
    comparison.number(f"{name}, lowest probability", row.min_probability, occluded[1], scale=1)
