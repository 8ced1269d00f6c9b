"""Measure the features of some images of a probe job on this machine. The time of its fits is not estimated: it
depends on how well the classes can be separated."""

from __future__ import annotations

from typing import cast

from shared.kinds.probe.images import probed_images
from shared.kinds.probe.specification import BATCH, ProbeSpecification
from unitscope.data.images import ImageSource, batches
from unitscope.probing.features import read_features
from worker.context import JobContext
from worker.kinds.common import load_network, sources_by_id
from worker.kinds.measuring import Measured, seconds_of

IMAGES = 2 * BATCH  # after a batch whose time is not counted


def measure(context: JobContext) -> Measured:
    """Measure the network on some images."""
    specification = cast(ProbeSpecification, context.specification)
    with context.database.read() as session:
        ids = probed_images(session, specification.dataset_id, specification.sampling).ids[: BATCH + IMAGES]
    by_id = sources_by_id(context, ids)
    sources = [by_id[image_id] for image_id in ids]
    _read(context, specification, sources[:BATCH])
    timed = sources[BATCH:] or sources
    took = seconds_of(lambda: _read(context, specification, timed), context.device)
    return Measured({"features": took / len(timed)})


def _read(context: JobContext, specification: ProbeSpecification, sources: list[ImageSource]) -> None:
    network = specification.network
    read_features(
        load_network(context, network, specification.weights_path),
        specification.layers,
        batches(sources, BATCH, network.image_size, pad=True, skipped=[]),
        specification.pooling,
        context.device,
        mean=network.mean,
        std=network.std,
    )
