"""Result table of a search: the class selectivity of its units."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.orm import Session, join

from producer.kinds.top9.layers import conditions_on_units
from producer.results.filters import Filters
from producer.results.tables import ResultTable, columns_of
from shared.database.catalogue import class_index
from shared.database.datasets import Dataset
from shared.errors import UsageError
from shared.jobs.tables import Job, JobState
from shared.kinds.top9.tables import SearchedLayer, UnitSelectivity


@dataclass(frozen=True)
class UnitSelectivityRow:
    """How well a unit tells a class from all others: a row of the view ``unit_selectivity``."""

    job_id: int
    layer: str
    layer_path: str
    unit: int
    class_rank: int
    class_index: int
    class_name: str
    auc: float
    precision_at_k: float
    k: int


def _conditions(session: Session, job: Job, filters: Filters) -> list[ColumnElement[bool]]:
    columns = UnitSelectivity.layer_id, UnitSelectivity.unit, UnitSelectivity.class_rank
    clauses = conditions_on_units(session, job, filters, *columns)
    if filters.class_name is not None:
        dataset = session.get_one(Dataset, job.dataset_id)
        clauses.append(UnitSelectivity.class_index == class_index(dataset, filters.class_name))
    return clauses


def _requires_classes(session: Session, job: Job) -> None:
    of_job = UnitSelectivity.layer_id.in_(select(SearchedLayer.id).where(SearchedLayer.job_id == job.id))
    if job.state == JobState.DONE and not session.scalar(select(exists().where(of_job))):
        reason = (
            f"Job {job.id} has no class selectivity: its images are of one class, or none of its units is active"
        )
        raise UsageError(reason=f"{reason}, or an earlier version computed it (submit it again with --force).")


UNIT_SELECTIVITY: ResultTable[UnitSelectivityRow] = ResultTable(
    kind="top9",
    title="class selectivity",
    row=UnitSelectivityRow,
    source=join(UnitSelectivity, SearchedLayer, SearchedLayer.id == UnitSelectivity.layer_id),
    columns=columns_of(
        UnitSelectivityRow,
        UnitSelectivity,
        {
            "job_id": SearchedLayer.job_id,
            "layer": SearchedLayer.layer,
            "layer_path": SearchedLayer.layer_path,
        },
    ),
    job=SearchedLayer.job_id,
    key=(UnitSelectivity.layer_id, UnitSelectivity.unit, UnitSelectivity.class_rank),
    filters=frozenset({"layer", "units", "class_name", "ranks"}),
    conditions=_conditions,
    check=_requires_classes,
)
