"""Stage *features* of a probe job: the features of all layers for a shard of images."""

from __future__ import annotations

from typing import cast

from sqlalchemy.orm import Session

from shared.kinds.probe.images import probed_images
from shared.kinds.probe.specification import BATCH, ProbeSpecification
from unitscope.data.images import Skipped, batches
from unitscope.probing.features import read_features
from worker.kinds.common import (
    load_network,
    pixel_cache,
    record_left_out,
    register_artifacts,
    sources_by_id,
    warn_of_memory,
)
from worker.kinds.probe.stored import store_features
from worker.runner import ShardContext


def features(context: ShardContext) -> None:
    """Run the network over a shard of images, and store the features of each layer."""
    specification = cast(ProbeSpecification, context.specification)
    network = specification.network
    model = load_network(context, network, specification.weights_path)
    with context.database.read() as session:
        ids = probed_images(session, specification.dataset_id, specification.sampling).ids
    ids = ids[context.payload["start"] : context.payload["stop"]]
    by_id = sources_by_id(context, ids)
    sources = [by_id[image_id] for image_id in ids]
    skipped: list[Skipped] = []
    cache = pixel_cache(context, network.image_size)
    read = read_features(
        model,
        specification.layers,
        batches(sources, BATCH, network.image_size, pad=True, skipped=skipped, cache=cache),
        specification.pooling,
        context.device,
        context.progress,
        network.mean,
        network.std,
        on_smaller=warn_of_memory(context),
    )
    stored = store_features(context, read)

    def write(session: Session) -> None:
        register_artifacts(context, session, [stored])
        record_left_out(context, session, sources, skipped)

    context.complete(write, stored.path)
