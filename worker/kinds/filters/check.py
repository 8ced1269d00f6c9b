"""Recompute rows of a job of filters from the weights."""

from __future__ import annotations

import random
from typing import cast

from sqlalchemy import select

from shared.kinds.filters.specification import FiltersSpecification
from shared.kinds.filters.tables import FilterLayer, FilterRow
from worker.context import JobContext
from worker.kinds.checking import Comparison
from worker.kinds.filters.draw import filter_columns, filters_of, layer_columns

NUMBERS = ("rms", "norm", "mean", "minimum", "maximum")


def check(context: JobContext, chance: random.Random, sample: int) -> Comparison:
    """Recompute the statistics of a sample of filters, and the numbers of their layers."""
    specification = cast(FiltersSpecification, context.specification)
    key = (FilterRow.network_number, FilterRow.layer_number, FilterRow.unit)
    with context.database.read() as session:
        of_job = select(FilterRow).where(FilterRow.job_id == context.job_id)
        rows = list(session.scalars(of_job.order_by(*key)))
        of_job_layers = select(FilterLayer).where(FilterLayer.job_id == context.job_id)
        layers = {(row.network_number, row.layer_number): row for row in session.scalars(of_job_layers)}
    chosen = chance.sample(rows, min(sample, len(rows)))
    comparison = Comparison()
    for place in sorted({(row.network_number, row.layer_number) for row in chosen}):
        network, layer = place[0] - 1, place[1] - 1
        filters = filters_of(context, specification, network, layer)
        recomputed = filter_columns(filters)
        recorded_layer = layers[place]
        name = f"{filters.network} {filters.layer}"
        wrong = [
            column
            for column, value in layer_columns(filters).items()
            if not isinstance(value, float) and getattr(recorded_layer, column) != value
        ]
        comparison.row(name, f"other {', '.join(wrong)}" if wrong else None)
        for row in sorted((row for row in chosen if (row.network_number, row.layer_number) == place),
                          key=lambda row: row.unit):  # fmt: skip
            columns, title = recomputed[row.unit], f"{name} filter {row.unit}"
            flags = [flag for flag in ("dead", "dominating", "over_limit") if getattr(row, flag) != columns[flag]]
            comparison.row(title, f"other {', '.join(flags)}" if flags else None)
            for number in NUMBERS:
                recorded = getattr(row, number)
                comparison.number(f"{title}, {number}", recorded, columns[number], scale=columns["rms"])
    return comparison
