"""Result tables of a probe job: means over the trials, and a row for each trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session

from producer.results.conditions import layer_of
from producer.results.filters import EVERYTHING, Filters
from producer.results.jobs import job_of_kind
from producer.results.tables import ComputedTable, ResultTable, columns_of
from shared.database.connection import Database
from shared.jobs.tables import Job
from shared.kinds.probe.rows import ProbeMean, means_by_layer
from shared.kinds.probe.tables import ProbeAccuracy


@dataclass(frozen=True)
class ProbeAccuracyRow:
    """A classifier on a layer in one trial: columns of the view ``probe_accuracies``."""

    layer: str
    layer_path: str
    classifier: str
    trial: int
    seed: int
    fold: int | None
    features: int
    pooling: str | None
    grid_rows: int | None
    grid_cols: int | None
    train_images: int
    test_images: int
    classes: int
    class_accuracy: float
    accuracy: float
    chance: float
    majority: float
    train_accuracy: float
    held_out_accuracy: float | None
    regularization: float
    converged: bool


def _layer_path(job: Job, filters: Filters) -> str | None:
    """Return the module path of the layer that ``filters`` names; None for all layers."""
    if filters.layer is None:
        return None
    return str(layer_of(job, filters.layer)["path"])


def _conditions(session: Session, job: Job, filters: Filters) -> list[ColumnElement[bool]]:
    path = _layer_path(job, filters)
    return [] if path is None else [ProbeAccuracy.layer_path == path]


def probe_means(database: Database, job_id: int, filters: Filters = EVERYTHING) -> Sequence[ProbeMean]:
    """Return the means over the trials, by depth.

    Raises
    ------
    NoSuchJob, JobNotOfKind, NoSuchModule
    """
    with database.read() as session:
        job = job_of_kind(session, job_id, "probe", PROBE_MEANS.title)
        return means_by_layer(session, job_id, _layer_path(job, filters))


PROBE_MEANS: ComputedTable[ProbeMean] = ComputedTable(
    kind="probe", title="probe accuracies", row=ProbeMean, compute=probe_means, filters=frozenset({"layer"})
)
PROBE_ACCURACIES: ResultTable[ProbeAccuracyRow] = ResultTable(
    kind="probe",
    title="trials",
    row=ProbeAccuracyRow,
    source=ProbeAccuracy.__table__,
    columns=columns_of(ProbeAccuracyRow, ProbeAccuracy),
    job=ProbeAccuracy.job_id,
    key=(ProbeAccuracy.depth, ProbeAccuracy.classifier, ProbeAccuracy.trial),
    filters=frozenset({"layer"}),
    conditions=_conditions,
)
