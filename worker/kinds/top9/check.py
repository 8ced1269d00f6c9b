"""Recompute rows of a top-9 search: activations of units and their positions."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass
from typing import cast

from sqlalchemy import func, select

from shared.kinds.top9.specification import SEARCH_BATCH, Top9Specification
from shared.kinds.top9.tables import BottomActivation, ClassActivation, SearchedLayer, SearchedUnit, TopActivation
from unitscope.data.images import Skipped, batches
from unitscope.layers.forms import known_place
from unitscope.search.ranking import TopActivations
from unitscope.search.search import LayerSearch, search
from worker.context import JobContext
from worker.kinds.checking import Comparison
from worker.kinds.common import load_network, sources_by_id
from worker.kinds.top9.check_maxima import check_maxima
from worker.kinds.top9.check_screening import check_screening

Row = TopActivation | BottomActivation | ClassActivation


@dataclass(frozen=True)
class _Sampled:
    layer: SearchedLayer
    row: Row

    @property
    def name(self) -> str:
        kind = {BottomActivation: "bottom ", ClassActivation: "class "}.get(type(self.row), "")
        return f"{self.layer.layer} unit {self.row.unit} {kind}rank {self.row.rank}, image {self.row.image_id}"


def check(context: JobContext, chance: random.Random, sample: int) -> Comparison:
    """Recompute the activations of a sample of rows from their images, and compare kept maxima of these images."""
    specification = cast(Top9Specification, context.specification)
    sampled = _sample(context, specification, chance, sample)
    comparison = Comparison()
    sources = sources_by_id(context, sorted({item.row.image_id for item in sampled}))
    skipped: list[Skipped] = []
    units: dict[str, list[int]] = defaultdict(list)
    for item in sorted(sampled, key=lambda item: item.row.unit):
        if item.row.unit not in units[item.layer.layer_path]:
            units[item.layer.layer_path].append(item.row.unit)
    results = search(
        load_network(context, specification.network, specification.weights_path),
        units,
        batches(
            [sources[number] for number in sorted(sources)],
            SEARCH_BATCH,
            specification.network.image_size,
            pad=True,
            skipped=skipped,
        ),
        max(len(sources), 1),
        context.device,
        mean=specification.network.mean,
        std=specification.network.std,
        bottom=specification.bottom,
        forms=specification.forms,
    )
    if specification.screen:
        check_screening(context, specification, chance, comparison)
    unreadable = {item.source.id: item.reason for item in skipped}
    readable = [number for number in sorted(sources) if number not in unreadable]
    maxima = {path: result.maxima for path, result in results.items()}
    check_maxima(context, specification, readable, units, maxima, comparison)
    for item in sampled:
        if item.row.image_id in unreadable:
            comparison.row(item.name, f"the image can't be read: {unreadable[item.row.image_id]}")
        else:
            path = item.layer.layer_path
            _compare(comparison, item, results[path], units[path].index(item.row.unit))
    return comparison


def _sample(
    context: JobContext, specification: Top9Specification, chance: random.Random, sample: int
) -> list[_Sampled]:
    """Return a random row from each of up to ``sample`` random rankings (a unit and a table)."""
    tables: list[type[Row]] = [TopActivation]
    tables += [BottomActivation] * specification.bottom + [ClassActivation] * specification.per_class
    sampled: list[_Sampled] = []
    with context.database.read() as session:
        layers = {
            layer.id: layer
            for layer in session.scalars(select(SearchedLayer).where(SearchedLayer.job_id == context.job_id))
        }
        live = (SearchedUnit.layer_id.in_(layers), SearchedUnit.dead.is_(False))
        query = select(SearchedUnit.layer_id, SearchedUnit.unit).where(*live)
        units = session.execute(query.order_by(SearchedUnit.layer_id, SearchedUnit.unit)).all()
        rankings = [(unit, table) for unit in units for table in tables]
        for unit, table in chance.sample(rankings, len(rankings)):
            of_unit = (table.layer_id == unit.layer_id, table.unit == unit.unit)
            if len(sampled) == sample:
                break
            if count := session.scalar(select(func.count()).select_from(table).where(*of_unit)):
                ordered = select(table).where(*of_unit).order_by(*table.__table__.primary_key)
                row = session.scalars(ordered.offset(chance.randrange(count)).limit(1)).one()
                sampled.append(_Sampled(layers[unit.layer_id], cast(Row, row)))
    return sampled


def _compare(comparison: Comparison, item: _Sampled, result: LayerSearch, index: int) -> None:
    ranking = result.bottom if isinstance(item.row, BottomActivation) else result.top
    sign = -1 if isinstance(item.row, BottomActivation) else 1
    entry = _entry(ranking, index, item.row.image_id) if ranking else None
    if entry is None:
        comparison.row(item.name, "the unit has no activation on this image")
        return
    activation, row, col = entry
    # If two positions have nearly the same activation, rounding may move the maximum to the other one.
    recorded = (item.row.row, item.row.col)
    recomputed = known_place(row, col)
    moved = recorded != recomputed
    problem = f"recorded at {_place(*recorded)}, recomputed at {_place(*recomputed)}" if moved else None
    comparison.row(item.name, problem)
    comparison.number(item.name, item.row.activation, sign * activation, float(result.maxima[:, index].max()))


def _place(row: int | None, col: int | None) -> str:
    return "no place" if row is None else f"{row}, {col}"


def _entry(ranking: TopActivations, index: int, image_id: int) -> tuple[float, int, int] | None:
    """Return the activation, row and column of an image in a unit's ranking, or None if it isn't ranked."""
    for rank in (ranking.image[index] == image_id).nonzero()[0].tolist():
        return float(ranking.activation[index, rank]), int(ranking.row[index, rank]), int(ranking.col[index, rank])
    return None
