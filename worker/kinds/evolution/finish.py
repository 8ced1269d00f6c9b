"""Stage *finish* of an evolution: the figure in the paper's layout, the curve, and the job's summary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from PIL import Image
from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.database.datasets import Dataset
from shared.jobs.left_out import LEFT_OUT
from shared.jobs.tables import Job
from shared.kinds.evolution.specification import EvolutionSpecification
from shared.kinds.evolution.tables import EvolutionJob, EvolvedLayer, EvolvedUnit, SettledUnits, UnitEvolution
from shared.store.store import StoredFile
from unitscope.drawing import pictures
from unitscope.drawing.evolution import (
    LayerBlock,
    UnitRow,
    beside,
    draw_block,
    evolution_figure,
    settled_figure,
)
from unitscope.drawing.figures import as_png
from unitscope.drawing.pictures import Picture
from worker.kinds.common import register_artifacts, summarize_left_out
from worker.runner import ShardContext

FIGURE_CELL, BLOCK_CELL = 72, 84  # pixels
CAPTION = (
    "A row is a unit, a column an epoch: the strongest activation over all images, projected. Each picture has "
    "its own contrast, stretched; grey is zero. Frame: the top image last changes here."
)


@dataclass(frozen=True)
class _Layer:
    """A layer's rows: its drawn units, their activations by epoch, and the counts by epoch."""

    row: EvolvedLayer
    drawn: list[EvolvedUnit]
    activations: dict[tuple[int, int], UnitEvolution]  # by unit and epoch
    counts: list[SettledUnits]


def finish(context: ShardContext) -> None:
    """Draw the figure, the blocks of the layers, and the curve; write the job's summary."""
    specification = cast(EvolutionSpecification, context.specification)
    layers = _read_layers(context)
    with context.database.read() as session:
        dataset = session.get_one(Dataset, specification.dataset_id).name
    network, epochs = specification.network.name, specification.epochs
    small: list[Picture] = []
    blocks: dict[int, StoredFile] = {}
    for layer in layers:
        if layer.drawn:
            projections = _block(context, layer, epochs, "projection_path")
            patches = _block(context, layer, epochs, "patch_path")
            small.append(draw_block(projections, FIGURE_CELL))
            pair = beside(draw_block(projections, BLOCK_CELL), draw_block(patches, BLOCK_CELL, projections=False))
            blocks[layer.row.id] = context.store.put(pictures.jpeg(pair), ".jpg")
        context.progress()
    of_job = f"{network} on {dataset} {specification.split}"
    figure = _put_figure(context, of_job, small) if small else None
    shares = {
        f"{layer.row.layer} ({at_end} units)": [count.settled / at_end for count in layer.counts]
        for layer in layers
        if (at_end := layer.counts[-1].active_at_end)
    }
    curve = context.store.put(as_png(settled_figure(f"{of_job}: settled units", epochs, shares)), ".png")

    def write(session: Session) -> None:
        register_artifacts(context, session, [curve, *blocks.values(), *([figure] if figure else [])])
        job_id = context.claim.job_id
        figure_path = figure.path if figure else None
        session.merge(EvolutionJob(job_id=job_id, figure_path=figure_path, curve_path=curve.path))
        for layer_id, block in blocks.items():
            session.get_one(EvolvedLayer, layer_id).block_path = block.path
        left_out = summarize_left_out(context, session)
        session.get_one(Job, job_id).summary = {
            "images": specification.image_count - left_out[LEFT_OUT],
            **left_out,
            "epochs": epochs,
            "layers": [_summary(layer) for layer in layers],
        }

    context.complete(write)


def _read_layers(context: ShardContext) -> list[_Layer]:
    layers: list[_Layer] = []
    with context.database.read() as session:
        of_job = select(EvolvedLayer).where(EvolvedLayer.job_id == context.claim.job_id)
        for row in session.scalars(of_job.order_by(EvolvedLayer.id)).all():
            drawn = session.scalars(
                select(EvolvedUnit)
                .where(EvolvedUnit.layer_id == row.id, EvolvedUnit.drawn.is_(True))
                .order_by(EvolvedUnit.unit)
            ).all()
            activations = session.scalars(
                select(UnitEvolution)
                .join(
                    EvolvedUnit,
                    (EvolvedUnit.layer_id == UnitEvolution.layer_id) & (EvolvedUnit.unit == UnitEvolution.unit),
                )
                .where(UnitEvolution.layer_id == row.id, EvolvedUnit.drawn.is_(True))
            )
            counts = session.scalars(
                select(SettledUnits).where(SettledUnits.layer_id == row.id).order_by(SettledUnits.epoch)
            ).all()
            by_epoch = {(activation.unit, activation.epoch): activation for activation in activations}
            layers.append(_Layer(row, list(drawn), by_epoch, list(counts)))
    return layers


def _block(context: ShardContext, layer: _Layer, epochs: Sequence[int], column: str) -> LayerBlock:
    """Return a layer's block of the pictures that ``column`` names."""
    rows = [
        UnitRow(
            unit.unit,
            [_content(context, layer.activations[unit.unit, epoch], column) for epoch in epochs],
            None if unit.settled_epoch is None else epochs.index(unit.settled_epoch),
        )
        for unit in layer.drawn
    ]
    return LayerBlock(layer.row.layer, epochs, rows)


def _content(context: ShardContext, row: UnitEvolution, column: str) -> Picture | str:
    """Return the picture of a unit at an epoch, or the word that says why there is none."""
    path: str | None = getattr(row, column)
    if path is None:
        return row.state
    if column == "projection_path" and row.projection_empty:
        return row.projection_empty
    return np.asarray(Image.open(context.store.verified(path)).convert("RGB"))


def _put_figure(context: ShardContext, of_job: str, blocks: Sequence[Picture]) -> StoredFile:
    drawn = evolution_figure(f"{of_job}: evolution of units during training", CAPTION, blocks)
    return context.store.put(pictures.png(drawn), ".png")


def _summary(layer: _Layer) -> dict[str, Any]:
    return {
        "layer": layer.row.layer,
        "units": layer.counts[-1].units,
        "active": layer.counts[-1].active_at_end,
        "drawn": len(layer.drawn),
        "settled": [count.settled for count in layer.counts],
    }
