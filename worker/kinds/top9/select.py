"""Stage *select* of a top-9 search: merges the partial results of all search shards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from shared.database.datasets import Dataset
from shared.errors import RankingIncomplete
from shared.kinds.top9 import KIND
from shared.kinds.top9.images import searched_images
from shared.kinds.top9.specification import SearchedLayerSpecification, Top9Specification
from unitscope.errors import NotFinite
from unitscope.projection.empty import constant_units
from unitscope.search.search import LayerSearch
from worker.kinds.common import load_network, register_artifacts, remove_results, require_some, stage_results
from worker.kinds.top9.groups import groups_of
from worker.kinds.top9.merging import merged_layer
from worker.kinds.top9.partials import MergedTopActivations, load_skipped, store_merged
from worker.kinds.top9.rows import record_layer
from worker.kinds.top9.selectivity import record_selectivity
from worker.runner import ShardContext

SHOWN = 8  # units that a warning names


def select(context: ShardContext) -> None:
    """Merge the partial results into every unit's top activations, statistics, rankings and selectivity, record
    dead units, and keep the maxima of all images.

    Layers are merged one at a time, and their maxima are written to a file: those of all images can be larger than
    the memory.

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
    images = specification.image_count - skipped
    labels, class_names = _labels(context, specification, images)
    groups = groups_of(context, specification)
    merged: list[MergedTopActivations] = []
    any_finite = False
    for number, layer in enumerate(specification.layers):
        context.progress(0)
        with merged_layer(context, partials, number, len(layer.units), images, specification.maxima, groups) as (
            result,
            maxima,
        ):
            _check_complete(context, layer, result)
            if result.recomputed is not None and number == 0:
                share = f"{len(result.recomputed):,} of {images:,} images computed again in float32"
                context.log("info", f"screened in {result.precision}: {share}")
            method = specification.method_of(layer)
            constant = _constant_units(context, specification, layer) if method is None else None
            ties = record_layer(context, layer, result, method, maxima, constant)
            record_selectivity(context, layer, result, labels, class_names)
            _warn_of_broken(context, layer, result)
            merged.append(MergedTopActivations(result.top, ties))
            any_finite |= not result.not_finite.all()
    if not any_finite:
        raise NotFinite(where="Every searched unit", value="NaN or infinity")
    result_file = store_merged(context, merged, skipped)
    context.complete(lambda session: register_artifacts(context, session, [result_file]), result_file.path)


def _labels(
    context: ShardContext, specification: Top9Specification, images: int
) -> tuple[np.ndarray, Sequence[str]]:
    """Return the classes of the images in the order of the maxima, int64 [images], and the names of all classes.

    Raises
    ------
    RuntimeError
        The database has another number of images than the partial results.
    """
    job_id, dataset_id = context.claim.job_id, specification.dataset_id
    with context.database.read() as session:
        searched = searched_images(session, job_id, dataset_id, specification.split)
        class_names = session.get_one(Dataset, dataset_id).class_names
    if len(searched.ids) != images:
        raise RuntimeError(f"the shards searched {images} images, but the job has {len(searched.ids)}")
    return searched.labels, class_names


def _constant_units(
    context: ShardContext, specification: Top9Specification, layer: SearchedLayerSpecification
) -> np.ndarray:
    """Return the units of a layer's module whose weights are zero, for searches that don't project: bool [units or
    more]."""
    model = load_network(context, specification.network, specification.weights_path)
    return constant_units(model, layer.path, max(layer.units) + 1)


def _check_complete(context: ShardContext, layer: SearchedLayerSpecification, result: LayerSearch) -> None:
    if result.incomplete.any():
        unit = int(np.asarray(layer.units)[result.incomplete][0])
        raise RankingIncomplete(unit=unit, layer=layer.layer, job_id=context.job_id)


def _warn_of_broken(context: ShardContext, layer: SearchedLayerSpecification, result: LayerSearch) -> None:
    broken = np.asarray(layer.units)[result.not_finite].tolist()
    if broken:
        shown = ", ".join(map(str, broken[:SHOWN])) + (", ..." if len(broken) > SHOWN else "")
        context.log(
            "warning", f"{len(broken)} units of {layer.layer} have NaN or infinite values and no rows: {shown}"
        )
