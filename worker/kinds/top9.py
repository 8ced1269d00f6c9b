"""The top-9 search: *search* shards of images, *select* the winners, *finish*; *project* is in
``top9_projecting``."""

from __future__ import annotations

from typing import cast

import numpy as np
from PIL import Image
from sqlalchemy import func
from sqlalchemy import select as sql_select
from sqlalchemy.orm import Session

from shared.models import Dataset, Job, SearchedLayer, SearchedUnit, TopActivation
from shared.specifications import Top9Specification
from shared.specifications.top9 import SEARCH_BATCH, SearchedLayerSpecification
from shared.store import StoredFile
from worker.kinds.common import keep, pixel_cache, report_skipped, require_some, split_sources, trained
from worker.kinds.top9_partials import (
    Winners,
    load_partial,
    load_skipped,
    results_of,
    store_partial,
    store_winners,
)
from worker.kinds.top9_rows import record_layer
from worker.runner import ShardContext
from worker.vision import pictures
from worker.vision.images import Skipped, batches
from worker.vision.search import LayerSearch
from worker.vision.search import search as search_images
from worker.vision.statistics import tied

SHEET_COLUMNS = 8


def search(context: ShardContext) -> None:
    """A shard of images: the best of each unit, as a partial result in the store."""
    specification = cast(Top9Specification, context.specification)
    model = trained(context, specification.network, specification.weights_path)
    sources = split_sources(context, specification.split, context.payload["start"], context.payload["stop"])
    cache = pixel_cache(context, specification.network.image_size)
    skipped: list[Skipped] = []
    found = search_images(
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
        on_smaller=lambda images: context.log("warning", f"memory does not suffice: {images} images at once"),
    )
    report_skipped(context, skipped)
    partial = store_partial(context, [found[layer.path] for layer in specification.layers], len(skipped))
    context.complete(lambda session: keep(context, session, [partial]), partial.path)


def select(context: ShardContext) -> None:
    """Merge the partial results: every unit's winners, statistics and rankings; dead units are recorded.

    A layer at a time, since the maxima of all images may fill the memory.
    """
    specification = cast(Top9Specification, context.specification)
    partials = results_of(context, "search")
    skipped = sum(load_skipped(context, path) for path in partials)
    require_some(context, skipped, specification.image_count)
    winners = [
        _select_layer(context, layer, number, partials) for number, layer in enumerate(specification.layers)
    ]
    result = store_winners(context, winners, skipped)
    context.complete(lambda session: keep(context, session, [result]), result.path)


def _select_layer(
    context: ShardContext, layer: SearchedLayerSpecification, number: int, partials: list[str]
) -> Winners:
    context.progress(0)
    found = LayerSearch.merged([load_partial(context, path, number) for path in partials])
    record_layer(context, layer, found)
    return Winners(found.top, tied(found.maxima, found.top.activation))


def finish(context: ShardContext) -> None:
    """The contact sheet of every layer, and the job's summary."""
    specification = cast(Top9Specification, context.specification)
    with context.database.read() as session:
        dataset = session.get_one(Dataset, specification.dataset_id).name
        layers = session.scalars(
            sql_select(SearchedLayer)
            .where(SearchedLayer.job_id == context.claim.job_id)
            .order_by(SearchedLayer.id)
        ).all()
        rows = session.execute(
            sql_select(TopActivation.layer_id, func.count().label("rows"))
            .where(TopActivation.layer_id.in_([layer.id for layer in layers]))
            .group_by(TopActivation.layer_id)
        ).all()
    skipped = load_skipped(context, results_of(context, "select")[0])
    summary = {"images": specification.image_count - skipped, "images_left_out": skipped, "layers": []}
    sheets: dict[int, StoredFile] = {}
    counts = {row.layer_id: row.rows for row in rows}
    for layer in layers:
        units = _units(context, layer.id)
        live = [(unit.unit, *_mosaics(context, unit)) for unit in units if not unit.dead]
        title = (
            f"{specification.network.name} {layer.layer} on {dataset} {specification.split}: "
            f"top {specification.top} of {len(live)} units, projections beside image patches"
        )
        sheets[layer.id] = context.store.put(
            pictures.jpeg(pictures.contact_sheet(live, title, SHEET_COLUMNS)), ".jpg"
        )
        summary["layers"].append(
            {
                "layer": layer.layer,
                "units": len(units),
                "dead": len(units) - len(live),
                "rows": counts.get(layer.id, 0),
            }
        )
        context.progress()

    def write(session: Session) -> None:
        keep(context, session, list(sheets.values()))
        for layer_id, sheet in sheets.items():
            session.get_one(SearchedLayer, layer_id).contact_sheet_path = sheet.path
        session.get_one(Job, context.claim.job_id).summary = summary

    context.complete(write)


def _units(context: ShardContext, layer_id: int) -> list[SearchedUnit]:
    with context.database.read() as session:
        query = sql_select(SearchedUnit).where(SearchedUnit.layer_id == layer_id)
        return list(session.scalars(query.order_by(SearchedUnit.unit)))


def _mosaics(context: ShardContext, unit: SearchedUnit) -> list[np.ndarray]:
    """Projections, then patches."""
    files = [context.store.verified(path or "") for path in (unit.projections_path, unit.patches_path)]
    return [np.asarray(Image.open(file).convert("RGB")) for file in files]
