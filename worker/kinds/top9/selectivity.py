"""Rows of the class selectivity of a layer's units, computed from the maxima of all images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from sqlalchemy import select

from shared.database.connection import insert_missing
from shared.kinds.top9.specification import SearchedLayerSpecification
from shared.kinds.top9.tables import SearchedLayer, UnitSelectivity
from unitscope.find.selectivity import selectivity
from unitscope.search.search import LayerSearch
from worker.runner import ShardContext

MOST_CLASSES = 100  # of a unit: those of the largest AUC
ROWS_AT_ONCE = 20_000


def record_selectivity(
    context: ShardContext,
    layer: SearchedLayerSpecification,
    result: LayerSearch,
    labels: np.ndarray,
    class_names: Sequence[str],
) -> None:
    """Write the class selectivity of a layer's units, except rows that exist.

    Units that are dead or not finite have no rows, nor those that have the same value on all images.

    Parameters
    ----------
    labels
        int [images]: classes of the images of ``result.maxima``.
    """
    of_job = (SearchedLayer.job_id == context.claim.job_id, SearchedLayer.layer_path == layer.path)
    with context.database.read() as session:
        layer_id = session.scalars(select(SearchedLayer.id).where(*of_job)).one()
    rows: list[dict[str, Any]] = []
    for index in np.flatnonzero(~(result.dead | result.not_finite)).tolist():
        of_unit = _rows(result.maxima[:, index], labels, class_names)
        rows += ({"layer_id": layer_id, "unit": layer.units[index], **row} for row in of_unit)
        if len(rows) >= ROWS_AT_ONCE:
            context.record(partial(insert_missing, model=UnitSelectivity, rows=rows))
            rows = []
        context.progress(0)
    if rows:
        context.record(partial(insert_missing, model=UnitSelectivity, rows=rows))


def _rows(values: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> Iterator[dict[str, Any]]:
    found = selectivity(values, labels)
    if found is None:
        return
    columns = (found.labels, found.auc, found.precision)
    of_classes = zip(*(column[:MOST_CLASSES].tolist() for column in columns), strict=True)
    for rank, (label, auc, precision) in enumerate(of_classes, 1):
        row = {"class_rank": rank, "class_index": label, "class_name": class_names[label]}
        yield {**row, "auc": auc, "precision_at_k": precision, "k": found.at}
