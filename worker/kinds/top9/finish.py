"""Stage *finish* of a top-9 search: the contact sheets and the job's summary."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import numpy as np
from PIL import Image
from sqlalchemy import func
from sqlalchemy import select as sql_select
from sqlalchemy.orm import Session

from shared.database.datasets import Dataset
from shared.jobs.left_out import LEFT_OUT
from shared.jobs.tables import Job
from shared.kinds.top9.specification import Top9Specification
from shared.kinds.top9.tables import SearchedLayer, SearchedUnit, TopActivation
from shared.store.store import StoredFile
from unitscope.drawing import pictures
from worker.kinds.common import register_artifacts, stage_results, summarize_left_out
from worker.kinds.top9.partials import SheetPart, load_sheet_parts, load_skipped
from worker.runner import ShardContext

SHEET_COLUMNS = 8
SHEET_ROWS = 400  # a JPEG file has at most 65,500 rows of pixels
SHEET_UNITS = 10_000  # at most: with their pictures, a gigabyte and more
SHEETS_AT_ONCE = 4  # of layers that have at most so many units:
FEW_UNITS = 1000


def finish(context: ShardContext) -> None:
    """Draw the contact sheet of every layer and write the job's summary."""
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
    skipped = load_skipped(context, stage_results(context, "select")[0])
    counts = {row.layer_id: row.rows for row in rows}
    units = {layer.id: _units(context, layer.id) for layer in layers}
    of_layers = [_summary(layer, units[layer.id], counts.get(layer.id, 0)) for layer in layers]

    sheets: dict[int, StoredFile] = {}
    if specification.projection:
        few = all(len(of_layer) <= FEW_UNITS for of_layer in units.values())
        # Decoding and encoding release the GIL.
        with ThreadPoolExecutor(SHEETS_AT_ONCE if few else 1) as drawing:
            drawn = [
                drawing.submit(_sheet, context, number, layer, units[layer.id], dataset)
                for number, layer in enumerate(layers)
            ]
            try:
                for layer, sheet in zip(layers, drawn, strict=True):
                    sheets[layer.id] = sheet.result()
                    context.progress()
            finally:
                drawing.shutdown(wait=False, cancel_futures=True)  # cancelled, or the lease is lost

    images = specification.image_count - skipped

    def write(session: Session) -> None:
        register_artifacts(context, session, list(sheets.values()))
        for layer_id, sheet in sheets.items():
            session.get_one(SearchedLayer, layer_id).contact_sheet_path = sheet.path
        left_out = summarize_left_out(context, session) | {LEFT_OUT: skipped}
        session.get_one(Job, context.claim.job_id).summary = {"images": images, **left_out, "layers": of_layers}

    context.complete(write)


def _summary(layer: SearchedLayer, units: Sequence[SearchedUnit], rows: int) -> dict[str, Any]:
    return {
        "layer": layer.layer,
        "units": len(units),
        "dead": sum(unit.dead for unit in units),
        "constant": sum(bool(unit.constant) for unit in units),
        "not_finite": sum(bool(unit.not_finite) for unit in units),
        "rows": rows,
        "projection": layer.projection,
    }


def _sheet(
    context: ShardContext, number: int, layer: SearchedLayer, units: Sequence[SearchedUnit], dataset: str
) -> StoredFile:
    """Draw and store the contact sheet of a layer, whose number is its place in the specification.

    More than 3,200 units are in more columns, and those beyond ``SHEET_UNITS`` are left out.
    """
    specification = cast(Top9Specification, context.specification)
    live = [unit for unit in units if not (unit.dead or unit.not_finite)]
    parts = load_sheet_parts(context, number)
    shown = live[:SHEET_UNITS]
    drawn = [(unit.unit, *(parts.get(unit.unit) or _mosaics(context, unit))) for unit in shown]
    which = "" if len(shown) == len(live) else f"the first {len(shown):,} of "
    title = (
        f"{specification.network.name} {layer.layer} on {dataset} {specification.split}: "
        f"top {specification.top} of {which}{len(live):,} units, projections beside image patches"
    )
    notes = {unit.unit: "constant" for unit in units if unit.constant}
    return context.store.put(
        pictures.jpeg(pictures.contact_sheet(drawn, title, sheet_columns(len(drawn)), notes=notes)), ".jpg"
    )


def sheet_columns(units: int) -> int:
    """Return the number of columns of a contact sheet, so that it has at most ``SHEET_ROWS`` rows."""
    return max(SHEET_COLUMNS, -(-units // SHEET_ROWS))


def _units(context: ShardContext, layer_id: int) -> list[SearchedUnit]:
    with context.database.read() as session:
        query = sql_select(SearchedUnit).where(SearchedUnit.layer_id == layer_id)
        return list(session.scalars(query.order_by(SearchedUnit.unit)))


def _mosaics(context: ShardContext, unit: SearchedUnit) -> SheetPart:
    """Return the mosaics of a unit that a version before schema 0016 has projected: those of projections and of
    patches."""
    projections, patches = (
        np.asarray(Image.open(context.store.verified(path or "")).convert("RGB"))
        for path in (unit.projections_path, unit.patches_path)
    )
    return projections, patches
