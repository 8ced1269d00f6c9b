"""Stage *select* of an evolution: merges the partial results of all search shards."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, cast

import numpy as np
from sqlalchemy.orm import Session

from shared.database.base import Base
from shared.database.connection import insert_missing
from shared.kinds.evolution import KIND
from shared.kinds.evolution.specification import EvolutionSpecification, EvolvingLayer
from shared.kinds.evolution.tables import EvolvedLayer, EvolvedUnit, SettledUnits, UnitEvolution
from unitscope.errors import NotFinite
from unitscope.evolution.settling import NEVER, choose_units, settled_counts, settled_epochs
from unitscope.evolution.strongest import Strongest
from worker.kinds.common import register_artifacts, remove_results, require_some, stage_results
from worker.kinds.evolution.partials import MergedLayer, Partial, load_partial, store_merged
from worker.runner import ShardContext

# Inserting millions of rows in one transaction would block other writers of a SQLite file for longer than their
# timeout.
ROWS_AT_ONCE = 20_000


def select(context: ShardContext) -> None:
    """Merge the partial results into each unit's strongest activation at each epoch, and find when units settle.

    Raises
    ------
    NoUsableImage
        every image was left out.
    NotFinite
        no unit of any layer has finite values at any epoch.
    """
    specification = cast(EvolutionSpecification, context.specification)
    merged = _merge(context, specification)
    if all(strongest.not_finite.all() for layer in merged for strongest in layer.epochs):
        raise NotFinite(where="Every unit at every epoch", value="NaN or infinity")
    remove_results(context, KIND.tables)
    for layer, result in zip(specification.layers, merged, strict=True):
        _record_layer(context, specification, layer, result)
    stored = store_merged(context, merged)
    context.complete(lambda session: register_artifacts(context, session, [stored]), stored.path)


def _merge(context: ShardContext, specification: EvolutionSpecification) -> list[MergedLayer]:
    """Merge the partial results, one epoch at a time."""
    paths = stage_results(context, "search")
    shards = len(paths) // len(specification.checkpoints)  # of each epoch, in their order
    epochs: list[list[Strongest]] = []
    left_out: set[int] = set()
    for start in range(0, len(paths), shards):
        parts: list[Partial] = []
        for path in paths[start : start + shards]:
            parts.append(load_partial(context, path, len(specification.layers)))
            left_out.update(parts[-1].left_out.tolist())
            context.progress(0)
        epochs.append([Strongest.merged(same) for same in zip(*(part.layers for part in parts), strict=True)])
    require_some(context, len(left_out), specification.image_count)
    return [
        MergedLayer(list(of_layer), _drawn(specification, layer, of_layer))
        for layer, of_layer in zip(specification.layers, zip(*epochs, strict=True), strict=True)
    ]


def _drawn(
    specification: EvolutionSpecification, layer: EvolvingLayer, epochs: tuple[Strongest, ...]
) -> list[int]:
    """Return the units to draw: the requested ones, or some that are active at the last epoch."""
    if layer.drawn is not None:
        return layer.drawn
    count = specification.drawn_count(layer)
    return choose_units(epochs[-1].active, count, f"{specification.seed} {layer.path}")


def _record_layer(
    context: ShardContext, specification: EvolutionSpecification, layer: EvolvingLayer, merged: MergedLayer
) -> None:
    """Write the rows of a layer, in several transactions."""
    epochs = specification.epochs
    row = EvolvedLayer(job_id=context.claim.job_id, layer=layer.layer, layer_path=layer.path)
    context.record(lambda session: _add(session, row))
    settled = settled_epochs(merged.images, epochs)
    units = [
        {"layer_id": row.id, "unit": unit, "settled_epoch": None if epoch == NEVER else epoch, "drawn": False}
        for unit, epoch in enumerate(settled.tolist())
    ]
    for unit in merged.drawn:
        units[unit]["drawn"] = True
    _insert(context, EvolvedUnit, units)
    for epoch, strongest in zip(epochs, merged.epochs, strict=True):
        _insert(context, UnitEvolution, list(_rows(row.id, epoch, strongest)))
        if broken := int(strongest.not_finite.sum()):
            message = f"{broken} units of {layer.layer} have NaN or infinite values at epoch {epoch}"
            context.log("warning", message)
    _insert(
        context,
        SettledUnits,
        [
            {
                "layer_id": row.id,
                "epoch": epoch,
                "units": layer.units,
                "active": int(strongest.active.sum()),
                "active_at_end": int((settled != NEVER).sum()),
                "settled": count,
            }
            for epoch, strongest, count in zip(
                epochs, merged.epochs, settled_counts(settled, epochs).tolist(), strict=True
            )
        ],
    )


def _add(session: Session, row: EvolvedLayer) -> None:
    session.add(row)
    session.flush()


def _rows(layer_id: int, epoch: int, strongest: Strongest) -> Iterator[dict[str, Any]]:
    top, tied = strongest.top, strongest.tied
    for unit, state in enumerate(strongest.states):
        active = state == "active"
        yield {
            "layer_id": layer_id,
            "unit": unit,
            "epoch": epoch,
            "state": state,
            "activation": _value(top.activation, unit) if active else None,
            "image_id": _value(top.image, unit) if active else None,
            "row": _value(top.row, unit) if active else None,
            "col": _value(top.col, unit) if active else None,
            "tied": bool(tied[unit]) if active else None,
        }


def _value(ranked: np.ndarray, unit: int) -> Any:
    return ranked[unit, 0].item()


def _insert(context: ShardContext, model: type[Base], rows: list[dict[str, Any]]) -> None:
    for start in range(0, len(rows), ROWS_AT_ONCE):
        context.record(partial(insert_missing, model=model, rows=rows[start : start + ROWS_AT_ONCE]))
        context.progress(0)
