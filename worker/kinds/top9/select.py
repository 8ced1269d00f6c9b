"""Stage *select* of a top-9 search: merges the partial results of all search shards."""

from __future__ import annotations

from typing import cast

from shared.kinds.top9.specification import SearchedLayerSpecification, Top9Specification
from unitscope.search.search import LayerSearch
from unitscope.search.statistics import tied
from worker.kinds.common import register_artifacts, require_some, stage_results
from worker.kinds.top9.partials import (
    MergedTopActivations,
    load_partial,
    load_skipped,
    store_merged,
)
from worker.kinds.top9.rows import record_layer
from worker.runner import ShardContext


def select(context: ShardContext) -> None:
    """Merge the partial results into every unit's top activations, statistics and rankings, and record dead units.

    Layers are merged one at a time to limit memory: the maxima of all images can be large.
    """
    specification = cast(Top9Specification, context.specification)
    partials = stage_results(context, "search")
    skipped = sum(load_skipped(context, path) for path in partials)
    require_some(context, skipped, specification.image_count)
    merged = [_select_layer(context, layer, number, partials) for number, layer in enumerate(specification.layers)]
    result = store_merged(context, merged, skipped)
    context.complete(lambda session: register_artifacts(context, session, [result]), result.path)


def _select_layer(
    context: ShardContext, layer: SearchedLayerSpecification, number: int, partials: list[str]
) -> MergedTopActivations:
    context.progress(0)
    result = LayerSearch.merged([load_partial(context, path, number) for path in partials])
    record_layer(context, layer, result)
    return MergedTopActivations(result.top, tied(result.maxima, result.top.activation))
