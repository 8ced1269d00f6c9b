"""Stage *search* of an evolution: each unit's strongest activation in a shard of images, at one epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.jobs.left_out import LEFT_OUT
from shared.jobs.tables import LeftOutImage, Shard, ShardState
from shared.kinds.evolution.specification import SEARCH_BATCH, EvolutionSpecification
from unitscope.data.images import ImageSource, Skipped, batches
from unitscope.data.sampling import some_of_each_class
from unitscope.evolution.strongest import strongest_activations
from worker.context import JobContext
from worker.kinds.common import (
    load_network,
    pixel_cache,
    record_left_out,
    register_artifacts,
    split_sources,
    warn_of_memory,
)
from worker.kinds.evolution.partials import Partial, load_left_out, store_partial
from worker.runner import ShardContext


def search(context: ShardContext) -> None:
    """Search a shard of images with the weights of an epoch, and store the strongest activations."""
    specification = cast(EvolutionSpecification, context.specification)
    network = specification.network
    checkpoint = specification.checkpoints[context.payload["checkpoint"]]
    sources = searched_sources(context, specification, context.payload["start"], context.payload["stop"])
    skipped: list[Skipped] = []
    cache = pixel_cache(context, network.image_size)
    found = strongest_activations(
        load_network(context, network, checkpoint.weights_path),
        {layer.path: layer.units for layer in specification.layers},
        batches(sources, SEARCH_BATCH, network.image_size, pad=True, skipped=skipped, cache=cache),
        context.device,
        context.progress,
        network.mean,
        network.std,
        on_smaller=warn_of_memory(context),
    )
    left_out = np.array([item.source.id for item in skipped], np.int64)
    partial = store_partial(context, Partial([found[layer.path] for layer in specification.layers], left_out))

    def write(session: Session) -> None:
        register_artifacts(context, session, [partial])
        at_others = left_out_at_other_epochs(context, session, sources)
        record_left_out(context, session, [source for source in sources if source.id not in at_others], skipped)

    context.complete(write, partial.path)


def left_out_at_other_epochs(context: ShardContext, session: Session, sources: Sequence[ImageSource]) -> set[int]:
    """Return which of the images were left out at another epoch: this shard does not take back what is recorded of
    them, even if it can read them, as on a machine with other files."""
    of_shard = {source.id for source in sources}
    of_job = LeftOutImage.job_id == context.claim.job_id
    if of_shard.isdisjoint(session.scalars(select(LeftOutImage.image_id).where(of_job))):
        return set()
    others = session.execute(
        select(Shard.payload, Shard.result_path).where(
            Shard.job_id == context.claim.job_id,
            Shard.stage_name == context.claim.stage_name,
            Shard.state == ShardState.DONE,
            Shard.id != context.claim.shard_id,
        )
    )
    paths = [path for payload, path in others if path and LEFT_OUT in payload]
    return of_shard.intersection(image for path in paths for image in load_left_out(context, path))


def searched_sources(
    context: JobContext, specification: EvolutionSpecification, start: int, stop: int
) -> list[ImageSource]:
    """Return the searched images ``start`` to ``stop`` (exclusive): of the split, or of the part of it on which
    the run was trained."""
    if specification.per_class is None or specification.sampling_seed is None:
        return split_sources(context, specification.split, start, stop)
    sources = split_sources(context, specification.split)
    return some_of_each_class(sources, specification.per_class, specification.sampling_seed)[start:stop]
