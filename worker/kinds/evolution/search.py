"""Stage *search* of an evolution: each unit's strongest activation in a shard of images, at one epoch."""

from __future__ import annotations

from typing import cast

import numpy as np
from sqlalchemy.orm import Session

from shared.kinds.evolution.specification import SEARCH_BATCH, EvolutionSpecification
from unitscope.data.images import ImageSource, Skipped, batches
from unitscope.data.sampling import some_of_each_class
from unitscope.evolution.strongest import strongest_activations
from worker.context import JobContext
from worker.kinds.common import load_network, pixel_cache, record_left_out, register_artifacts, split_sources
from worker.kinds.evolution.partials import Partial, store_partial
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
        on_smaller=lambda images: context.log(
            "warning", f"out of memory: continuing with {images} images per batch"
        ),
    )
    left_out = np.array([item.source.id for item in skipped], np.int64)
    partial = store_partial(context, Partial([found[layer.path] for layer in specification.layers], left_out))

    def write(session: Session) -> None:
        register_artifacts(context, session, [partial])
        record_left_out(context, session, sources, skipped)

    context.complete(write, partial.path)


def searched_sources(
    context: JobContext, specification: EvolutionSpecification, start: int, stop: int
) -> list[ImageSource]:
    """Return the searched images ``start`` to ``stop`` (exclusive): of the split, or of the part of it on which
    the run was trained."""
    if specification.per_class is None or specification.sampling_seed is None:
        return split_sources(context, specification.split, start, stop)
    sources = split_sources(context, specification.split)
    return some_of_each_class(sources, specification.per_class, specification.sampling_seed)[start:stop]
