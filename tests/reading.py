"""Functions that read a job's result rows through the same tables as the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from producer.kinds.top9.results import (
    BOTTOM_ACTIVATIONS,
    CLASS_ACTIVATIONS,
    TOP_ACTIVATIONS,
    UNIT_STATISTICS,
)
from producer.results.filters import Filters
from producer.results.tables import ResultTable
from shared.database.connection import Database


def _reader(table: ResultTable[Any]) -> Any:
    def read(
        database: Database,
        job_id: int,
        layer: str | None = None,
        units: Sequence[int] | None = None,
        class_name: str | None = None,
    ) -> list[dict[str, Any]]:
        filters = Filters(layer=layer, units=tuple(units or ()), class_name=class_name)
        return [vars(row) for row in table.rows(database, job_id, filters)]

    return read


top_rows = _reader(TOP_ACTIVATIONS)
bottom_rows = _reader(BOTTOM_ACTIVATIONS)
class_rows = _reader(CLASS_ACTIVATIONS)
statistics_rows = _reader(UNIT_STATISTICS)
