"""Stage *finish* of a top-9 search: the contact sheets and the job's summary."""

from __future__ import annotations

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
    of_layers: list[dict[str, Any]] = []
    sheets: dict[int, StoredFile] = {}
    counts = {row.layer_id: row.rows for row in rows}
    for number, layer in enumerate(layers):
        units = _units(context, layer.id)
        live = [unit for unit in units if not (unit.dead or unit.not_finite)]
        constant = [unit.unit for unit in units if unit.constant]
        if specification.projection:
            parts = load_sheet_parts(context, number)
            drawn = [(unit.unit, *(parts.get(unit.unit) or _mosaics(context, unit))) for unit in live]
            title = (
                f"{specification.network.name} {layer.layer} on {dataset} {specification.split}: "
                f"top {specification.top} of {len(live)} units, projections beside image patches"
            )
            sheets[layer.id] = context.store.put(
                pictures.jpeg(
                    pictures.contact_sheet(drawn, title, SHEET_COLUMNS, notes=dict.fromkeys(constant, "constant"))
                ),
                ".jpg",
            )
        of_layers.append(
            {
                "layer": layer.layer,
                "units": len(units),
                "dead": sum(unit.dead for unit in units),
                "constant": len(constant),
                "not_finite": sum(bool(unit.not_finite) for unit in units),
                "rows": counts.get(layer.id, 0),
                "projection": layer.projection,
            }
        )
        context.progress()

    images = specification.image_count - skipped

    def write(session: Session) -> None:
        register_artifacts(context, session, list(sheets.values()))
        for layer_id, sheet in sheets.items():
            session.get_one(SearchedLayer, layer_id).contact_sheet_path = sheet.path
        left_out = summarize_left_out(context, session) | {LEFT_OUT: skipped}
        session.get_one(Job, context.claim.job_id).summary = {"images": images, **left_out, "layers": of_layers}

    context.complete(write)


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
