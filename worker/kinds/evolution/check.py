"""Recompute rows of an evolution: activations of units at an epoch, and their positions."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import cast

from sqlalchemy import func, select

from shared.kinds.evolution.specification import SEARCH_BATCH, EvolutionSpecification
from shared.kinds.evolution.tables import EvolvedLayer, UnitEvolution
from unitscope.data.images import Skipped, batches
from unitscope.search.search import search
from worker.context import JobContext
from worker.kinds.checking import Comparison
from worker.kinds.common import load_network, sources_by_id


def check(context: JobContext, chance: random.Random, sample: int) -> Comparison:
    """Recompute the activations of a sample of rows from their images, with the weights of their epochs."""
    specification = cast(EvolutionSpecification, context.specification)
    layers, rows = _sample(context, chance, sample)
    by_epoch: dict[int, list[UnitEvolution]] = defaultdict(list)
    for row in rows:
        by_epoch[row.epoch].append(row)
    comparison = Comparison()
    for epoch, of_epoch in sorted(by_epoch.items()):
        _check_epoch(context, specification, epoch, of_epoch, layers, comparison)
    return comparison


def _sample(
    context: JobContext, chance: random.Random, sample: int
) -> tuple[dict[int, EvolvedLayer], list[UnitEvolution]]:
    """Return the layers by id, and up to ``sample`` random rows of active units."""
    with context.database.read() as session:
        of_job = select(EvolvedLayer).where(EvolvedLayer.job_id == context.job_id)
        layers = {layer.id: layer for layer in session.scalars(of_job)}
        active = (UnitEvolution.layer_id.in_(layers), UnitEvolution.state == "active")
        count = session.scalar(select(func.count()).select_from(UnitEvolution).where(*active)) or 0
        ordered = select(UnitEvolution).where(*active).order_by(*UnitEvolution.__table__.primary_key)
        places = sorted(chance.sample(range(count), min(sample, count)))
        rows = [session.scalars(ordered.offset(place).limit(1)).one() for place in places]
    return layers, rows


def _check_epoch(
    context: JobContext,
    specification: EvolutionSpecification,
    epoch: int,
    rows: Sequence[UnitEvolution],
    layers: dict[int, EvolvedLayer],
    comparison: Comparison,
) -> None:
    network = specification.network
    weights = next(kept.weights_path for kept in specification.checkpoints if kept.epoch == epoch)
    sources = sources_by_id(context, sorted({cast(int, row.image_id) for row in rows}))
    units: dict[str, list[int]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.unit):
        units[layers[row.layer_id].layer_path].append(row.unit)
    skipped: list[Skipped] = []
    found = search(
        load_network(context, network, weights),
        units,
        batches(
            [sources[image] for image in sorted(sources)],
            SEARCH_BATCH,
            network.image_size,
            pad=True,
            skipped=skipped,
        ),
        len(sources),
        context.device,
        mean=network.mean,
        std=network.std,
    )
    unreadable = {item.source.id: item.reason for item in skipped}
    for row in rows:
        layer = layers[row.layer_id]
        name = f"{layer.layer} unit {row.unit} epoch {epoch}, image {row.image_id}"
        if row.image_id in unreadable:
            comparison.row(name, f"the image can't be read: {unreadable[row.image_id]}")
            continue
        top = found[layer.layer_path].top
        index = units[layer.layer_path].index(row.unit)
        places = (top.image[index] == row.image_id).nonzero()[0]
        if not len(places):
            comparison.row(name, "the unit has no activation on this image")
            continue
        place = int(places[0])
        position = int(top.row[index, place]), int(top.col[index, place])
        moved = position != (row.row, row.col)
        problem = (
            f"recorded at {row.row}, {row.col}, recomputed at {position[0]}, {position[1]}" if moved else None
        )
        comparison.row(name, problem)
        activation = float(top.activation[index, place])
        comparison.number(name, cast(float, row.activation), activation, float(top.activation[index].max()))
