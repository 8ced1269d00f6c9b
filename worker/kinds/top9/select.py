"""Stage *select* of a top-9 search: merges the partial results of all search shards."""

from __future__ import annotations

from typing import cast

import numpy as np

from shared.kinds.top9 import KIND
from shared.kinds.top9.specification import SearchedLayerSpecification, Top9Specification
from unitscope.errors import NotFinite, RankingIncomplete
from unitscope.search.search import LayerSearch
from worker.kinds.common import register_artifacts, remove_results, require_some, stage_results
from worker.kinds.top9.partials import (
    MergedTopActivations,
    load_partial,
    load_skipped,
    store_merged,
)
from worker.kinds.top9.rows import record_layer
from worker.runner import ShardContext

SHOWN = 8  # units that a warning names


def select(context: ShardContext) -> None:
    """Merge the partial results into every unit's top activations, statistics and rankings, and record dead units.

    Layers are merged one at a time to limit memory: the maxima of all images can be large.

    Raises
    ------
    NotFinite
        no unit of any layer has finite values.
    RankingIncomplete
        a shard screened its images by a result of another shard that has changed since.
    """
    specification = cast(Top9Specification, context.specification)
    partials = stage_results(context, "search")
    skipped = sum(load_skipped(context, path) for path in partials)
    require_some(context, skipped, specification.image_count)
    remove_results(context, KIND.tables)
    merged: list[MergedTopActivations] = []
    any_finite = False
    for number, layer in enumerate(specification.layers):
        top_activations, finite = _select_layer(context, layer, number, partials)
        merged.append(top_activations)
        any_finite |= finite
    if not any_finite:
        raise NotFinite(where="Every searched unit", value="NaN or infinity")
    result = store_merged(context, merged, skipped)
    context.complete(lambda session: register_artifacts(context, session, [result]), result.path)


def _select_layer(
    context: ShardContext, layer: SearchedLayerSpecification, number: int, partials: list[str]
) -> tuple[MergedTopActivations, bool]:
    """Merge and record a layer; return its top activations, and whether any unit has finite values."""
    context.progress(0)
    result = LayerSearch.merged([load_partial(context, path, number) for path in partials])
    if result.incomplete.any():
        unit = int(np.asarray(layer.units)[result.incomplete][0])
        raise RankingIncomplete(unit=unit, layer=layer.layer, job_id=context.job_id)
    if result.recomputed is not None and number == 0:
        share = f"{len(result.recomputed):,} of {len(result.maxima):,} images computed again in float32"
        context.log("info", f"screened in {result.precision}: {share}")
    method = cast(Top9Specification, context.specification).method_of(layer)
    ties = record_layer(context, layer, result, method)
    broken = np.asarray(layer.units)[result.not_finite].tolist()
    if broken:
        shown = ", ".join(map(str, broken[:SHOWN])) + (", ..." if len(broken) > SHOWN else "")
        context.log(
            "warning", f"{len(broken)} units of {layer.layer} have NaN or infinite values and no rows: {shown}"
        )
    return MergedTopActivations(result.top, ties), not result.not_finite.all()
