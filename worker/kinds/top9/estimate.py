"""Measure some batches of a top-9 search on this machine: a search of a few images, projections of a few units."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

from shared.kinds.top9.specification import SEARCH_BATCH, SearchedLayerSpecification, Top9Specification
from unitscope.data.images import ImageSource, batches
from unitscope.search.search import LayerSearch, search
from unitscope.search.statistics import tied
from worker.context import JobContext
from worker.kinds.common import load_network, split_sources
from worker.kinds.measuring import Measured, Rehearsal, seconds_of
from worker.kinds.top9.partials import MergedTopActivations
from worker.kinds.top9.project import WRITERS, Units

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
    units = sum(len(layer.units) for layer in specification.layers)
    each = {
        layer.path: _projection_seconds(context, specification, layer, results) for layer in specification.layers
    }
    # Units that are active on none of these images are taken for dead ones, which are not projected.
    seconds["project"] = sum(active[path] * each[path] for path in active) / units
    share = f"{sum(active.values())} of {units} on {len(timed)} images"
    details = {"active units": f"{share}; the others are counted in files and size, but not in time"}
    return Measured(seconds, details=details)


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
        weights = Path(folder) / specification.weights_path
        weights.parent.mkdir()
        weights.symlink_to(context.store.locate(specification.weights_path))
        units = Units(Rehearsal(context, Path(folder), {"units": chosen}), specification, layer, merged)
        with ThreadPoolExecutor(WRITERS) as writers:
            first, second = chosen[: len(chosen) // 2] or chosen, chosen[len(chosen) // 2 :]
            units.project(first, writers)
            return seconds_of(lambda: units.project(second, writers), context.device) / len(second)
