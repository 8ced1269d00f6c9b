"""Result table of a search: labels of its units."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.orm import Session, join

from producer.kinds.top9.layers import conditions_on_units
from producer.results.filters import Filters
from producer.results.tables import ResultTable, columns_of
from shared.errors import UsageError
from shared.jobs.tables import Job
from shared.kinds.top9.tables import SearchedLayer, UnitLabel


@dataclass(frozen=True)
class UnitLabelRow:
    """A label of a unit: a row of the view ``unit_labels``."""

    job_id: int
    layer: str
    layer_path: str
    unit: int
    rank: int
    label: str
    score: float


def _conditions(session: Session, job: Job, filters: Filters) -> list[ColumnElement[bool]]:
    columns = UnitLabel.layer_id, UnitLabel.unit, UnitLabel.rank
    return conditions_on_units(session, job, filters, *columns)


def _requires_labels(session: Session, job: Job) -> None:
    of_job = UnitLabel.layer_id.in_(select(SearchedLayer.id).where(SearchedLayer.job_id == job.id))
    if not session.scalar(select(exists().where(of_job))):
        raise UsageError(
            reason=f"Job {job.id} has no labels: `analyze label {job.id} --similarities FILE` adds them."
        )


UNIT_LABELS: ResultTable[UnitLabelRow] = ResultTable(
    kind="top9",
    title="labels",
    row=UnitLabelRow,
    source=join(UnitLabel, SearchedLayer, SearchedLayer.id == UnitLabel.layer_id),
    columns=columns_of(
        UnitLabelRow,
        UnitLabel,
        {
            "job_id": SearchedLayer.job_id,
            "layer": SearchedLayer.layer,
            "layer_path": SearchedLayer.layer_path,
        },
    ),
    job=SearchedLayer.job_id,
    key=(UnitLabel.layer_id, UnitLabel.unit, UnitLabel.rank),
    filters=frozenset({"layer", "units", "ranks"}),
    conditions=_conditions,
    check=_requires_labels,
)
