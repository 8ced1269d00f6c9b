"""Ranking of the units of a top-9 search by how well their top images agree on one class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import select

from producer.kinds.top9.results import RANKED_FILTERS, TOP_ACTIVATIONS
from producer.results.filters import EVERYTHING, Filters
from producer.results.tables import ComputedTable
from shared.database.connection import Database
from shared.kinds.top9.tables import SearchedLayer, SearchedUnit


@dataclass(frozen=True)
class UnitSummary:
    """A live unit and the most frequent class of its top images."""

    layer: str
    unit: int
    activation: float  # of the image of rank 1
    class_name: str  # most frequent class of the top images
    share: float  # share of the top images that have this class
    count: int  # number of top images
    patches_path: str | None
    projections_path: str | None


def best_units(database: Database, job_id: int, filters: Filters = EVERYTHING) -> list[UnitSummary]:
    """Return a summary of each live unit, sorted by the agreement of its top images on one class.

    Constant units are left out: their top images are only the first of the split, and say nothing about a class.
    Units with fewer than the full number of top images come last. Ties are sorted by activation, highest first.

    Raises
    ------
    NoSuchJob, JobNotOfKind, NoSuchLayer, NoSuchUnit, UsageError
    """
    rows = TOP_ACTIVATIONS.rows(database, job_id, filters)
    mosaics, constant = _mosaics(database, job_id), _constant_units(database, job_id)
    summaries = []
    for (layer, unit), unit_rows in groupby(rows, lambda row: (row.layer, row.unit)):
        if (layer, unit) in constant:
            continue
        group = list(unit_rows)
        class_name, frequency = Counter(row.class_name for row in group).most_common(1)[0]
        share, first = frequency / len(group), group[0].activation
        summaries.append(UnitSummary(layer, unit, first, class_name, share, len(group), *mosaics[layer, unit]))
    full = max((summary.count for summary in summaries), default=0)
    return sorted(summaries, key=lambda s: (s.count < full, -s.share, -s.activation, s.unit))


def _mosaics(database: Database, job_id: int) -> dict[tuple[str, int], Sequence[str | None]]:
    """Return the paths of each unit's mosaics, (patches, projections), by (layer, unit)."""
    unit = SearchedUnit
    query = (
        select(SearchedLayer.layer, unit.unit, unit.patches_path, unit.projections_path)
        .join(SearchedLayer, SearchedLayer.id == unit.layer_id)
        .where(SearchedLayer.job_id == job_id)
    )
    with database.read() as session:
        return {(row[0], row[1]): (row[2], row[3]) for row in session.execute(query)}


def _constant_units(database: Database, job_id: int) -> set[tuple[str, int]]:
    query = (
        select(SearchedLayer.layer, SearchedUnit.unit)
        .join(SearchedLayer, SearchedLayer.id == SearchedUnit.layer_id)
        .where(SearchedLayer.job_id == job_id, SearchedUnit.constant.is_(True))
    )
    with database.read() as session:
        return {(row[0], row[1]) for row in session.execute(query)}


BEST_UNITS: ComputedTable[UnitSummary] = ComputedTable(
    kind="top9", title="units", row=UnitSummary, compute=best_units, filters=RANKED_FILTERS
)
