"""Stage *measure* of an invariance job: distances of features and predictions of each image."""

from __future__ import annotations

from typing import cast

import torch
from sqlalchemy.orm import Session

from shared.database.datasets import Dataset
from shared.kinds.invariance.specification import InvarianceSpecification
from unitscope.data.images import Skipped, UnreadableImage, read_cached
from unitscope.invariance.measure import ImageInvariance, Measurement
from worker.context import JobContext
from worker.kinds.common import load_network, numbered_images, record_left_out, warn_of_memory
from worker.kinds.invariance.rows import add_rows, remove_rows, used_cache
from worker.runner import ShardContext


def measure(context: ShardContext) -> None:
    """Measure the images of a shard, one by one, and store their rows."""
    specification = cast(InvarianceSpecification, context.specification)
    numbers = specification.images[context.payload["start"] : context.payload["stop"]]
    images = numbered_images(context, numbers, whole_files=specification.whole_files)
    measurement = measurement_of(
        context,
        on_smaller=warn_of_memory(context, "transformed images per batch"),
    )
    cache = used_cache(context, specification)
    measured: dict[int, ImageInvariance] = {}
    skipped: list[Skipped] = []
    for image, source in images:
        try:
            pixels = read_cached(source, specification.network.image_size, cache)
        except UnreadableImage as error:
            skipped.append(Skipped(source, str(error)))
        else:
            whole = torch.from_numpy(pixels).permute(2, 0, 1)
            measured[image.id] = measurement.run(whole, image.class_index, lambda: context.progress(0))
        context.progress()
    with context.database.read() as session:
        class_names = session.get_one(Dataset, specification.dataset_id).class_names

    def write(session: Session) -> None:
        remove_rows(context, session, [image.id for image, _ in images])
        record_left_out(context, session, [source for _, source in images], skipped)
        for image_id, result in measured.items():
            add_rows(context, session, image_id, result, class_names)

    context.complete(write)


def measurement_of(context: JobContext, **options: object) -> Measurement:
    """Return the job's measurement with its network."""
    specification = cast(InvarianceSpecification, context.specification)
    network = specification.network
    return Measurement(
        load_network(context, network, specification.weights_path),
        specification.layers,
        specification.series,
        specification.outside,
        specification.interpolation,
        device=context.device,
        mean=network.mean,
        std=network.std,
        **options,  # type: ignore[arg-type]
    )
