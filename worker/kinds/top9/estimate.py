"""Measure some batches of a top-9 search on this machine: a search of a few images, projections of a few units."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

from shared.kinds.top9.specification import SEARCH_BATCH, SearchedLayerSpecification, Top9Specification
from shared.store.references import paths_in
from unitscope.data.images import Batch, ImageSource, batches
from unitscope.search.screening import SAMPLE, screened_search
from unitscope.search.search import LayerSearch, search
from unitscope.search.statistics import tied
from worker.context import JobContext
from worker.kinds.common import load_network, split_sources
from worker.kinds.measuring import Measured, Rehearsal, seconds_of
from worker.kinds.top9.partials import MergedTopActivations
from worker.kinds.top9.project import Units, number_of_writers

IMAGES = 3 * SEARCH_BATCH  # after a batch whose time is not counted
UNITS = 4  # of each layer, after as many whose time is not counted


def measure(context: JobContext) -> Measured:
    """Measure the search of some images of the split, and the projection of units that they activate."""
    specification = cast(Top9Specification, context.specification)
    sources = split_sources(context, specification.split, 0, SEARCH_BATCH + IMAGES)
    _search(context, specification, sources[:SEARCH_BATCH])
    timed = sources[SEARCH_BATCH:] or sources
    results: dict[str, LayerSearch] = {}
    took = seconds_of(lambda: results.update(_search(context, specification, timed)), context.device)
    seconds = {"search": took / len(timed)}
    active = {path: int((~result.top.dead).sum()) for path, result in results.items()}
    screening = {}
    if specification.screen:
        share = recomputed_share(specification, sum(active.values()))
        both = seconds_of(lambda: _screen(context, specification, timed), context.device)
        # A sample as small as this one is computed in both precisions.
        seconds["search"] = (max(both - took, 0.0) + share * took) / len(timed)
        screening["computed again in float32"] = f"about {share:.0%} of the images"
    units = sum(len(layer.units) for layer in specification.layers)
    if specification.projection is None:
        return Measured(seconds, details=screening)
    each = {
        layer.path: _projection_seconds(context, specification, layer, results) for layer in specification.layers
    }
    # Units that are active on none of these images are taken for dead ones, which are not projected.
    seconds["project"] = sum(active[path] * each[path] for path in active) / units
    counted = f"{sum(active.values())} of {units} on {len(timed)} images"
    details = {"active units": f"{counted}; the others are counted in files and size, but not in time"}
    return Measured(seconds, details=screening | details)


def recomputed_share(specification: Top9Specification, units: int) -> float:
    """Estimate the share of images that a screening computes again in float32.

    Measured on photographs: about as many as if each of ``units`` active units had ``top`` random images. Shards
    that run one after another compare their images with those before them: the n-th has 1/n of those of the first.
    """
    images = specification.image_count
    searches = sum(shard.stage == "search" for shard in specification.plan())
    ranked = units * specification.top * (1 + math.log(searches))
    return min(1.0, -math.expm1(-ranked / images) + searches * SAMPLE / images)


def _screen(context: JobContext, specification: Top9Specification, sources: list[ImageSource]) -> None:
    """Search images with screening.

    Raises
    ------
    ScreeningNotPossible
    """
    network = specification.network
    assert specification.screen is not None  # noqa: S101 - of a search that screens its images

    def read(images: Sequence[ImageSource]) -> Iterator[Batch]:
        return batches(images, SEARCH_BATCH, network.image_size, pad=True, skipped=[])

    screened_search(
        load_network(context, network, specification.weights_path),
        {layer.path: layer.units for layer in specification.layers},
        read(sources),
        read,
        specification.screen,
        specification.top,
        context.device,
        mean=network.mean,
        std=network.std,
        forms=specification.forms,
    )


def _search(
    context: JobContext, specification: Top9Specification, sources: list[ImageSource]
) -> dict[str, LayerSearch]:
    network = specification.network
    return search(
        load_network(context, network, specification.weights_path),
        {layer.path: layer.units for layer in specification.layers},
        batches(sources, SEARCH_BATCH, network.image_size, pad=True, skipped=[]),
        specification.top,
        context.device,
        mean=network.mean,
        std=network.std,
        bottom=specification.bottom,
        per_class=specification.per_class,
        forms=specification.forms,
    )


def _projection_seconds(
    context: JobContext,
    specification: Top9Specification,
    layer: SearchedLayerSpecification,
    results: dict[str, LayerSearch],
) -> float:
    """Return the seconds to project and draw a unit; 0 if no unit of the layer is active on these images."""
    result = results[layer.path]
    active = [unit for unit, dead in zip(layer.units, result.top.dead.tolist(), strict=True) if not dead]
    chosen = active[: 2 * UNITS]
    if not chosen:
        return 0.0
    merged = MergedTopActivations(result.top, tied(result.maxima, result.top.activation))
    with tempfile.TemporaryDirectory() as folder:
        for path in {*paths_in(specification.model_dump(mode="json"))}:  # the weights, and the network's code
            file = Path(folder) / path
            file.parent.mkdir(exist_ok=True)
            file.symlink_to(context.store.locate(path))
        units = Units(Rehearsal(context, Path(folder), {"units": chosen}), specification, layer, merged)
        with ThreadPoolExecutor(number_of_writers()) as writers:
            first, second = chosen[: len(chosen) // 2] or chosen, chosen[len(chosen) // 2 :]
            _finish(units.project(first, writers))
            return seconds_of(lambda: _finish(units.project(second, writers)), context.device) / len(second)


def _finish(drawing: Sequence[Future[Any]]) -> None:
    for unit in drawing:
        unit.result()
