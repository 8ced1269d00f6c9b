"""Stage *search* of a top-9 search: each unit's strongest activations in a shard of images."""

from __future__ import annotations

from typing import cast

from sqlalchemy.orm import Session
from torch import nn

from shared.kinds.top9.specification import SEARCH_BATCH, Top9Specification
from unitscope.data.images import ImageSource, Skipped, batches
from unitscope.data.pixel_cache import PixelCache
from unitscope.search.search import LayerSearch
from unitscope.search.search import search as search_images
from worker.kinds.common import (
    load_network,
    pixel_cache,
    record_left_out,
    register_artifacts,
    split_sources,
    warn_of_memory,
)
from worker.kinds.top9.groups import groups_of
from worker.kinds.top9.partials import store_partial
from worker.kinds.top9.screening import screened
from worker.runner import ShardContext


def search(context: ShardContext) -> None:
    """Search a shard of images, and store each unit's strongest activations as a partial result."""
    specification = cast(Top9Specification, context.specification)
    model = load_network(context, specification.network, specification.weights_path)
    sources = split_sources(context, specification.split, context.payload["start"], context.payload["stop"])
    cache = pixel_cache(context, specification.network.image_size)
    skipped: list[Skipped] = []
    run = screened if specification.screen else _searched
    results = run(context, specification, model, sources, cache, skipped)
    partial = store_partial(context, [results[layer.path] for layer in specification.layers], len(skipped))

    def write(session: Session) -> None:
        register_artifacts(context, session, [partial])
        record_left_out(context, session, sources, skipped)

    context.complete(write, partial.path)


def _searched(
    context: ShardContext,
    specification: Top9Specification,
    model: nn.Module,
    sources: list[ImageSource],
    cache: PixelCache | None,
    skipped: list[Skipped],
) -> dict[str, LayerSearch]:
    return search_images(
        model,
        {layer.path: layer.units for layer in specification.layers},
        batches(sources, SEARCH_BATCH, specification.network.image_size, pad=True, skipped=skipped, cache=cache),
        specification.top,
        context.device,
        context.progress,
        specification.network.mean,
        specification.network.std,
        bottom=specification.bottom,
        per_class=specification.per_class,
        on_smaller=warn_of_memory(context),
        forms=specification.forms,
        groups=groups_of(context, specification),
    )
