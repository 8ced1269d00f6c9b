"""What made a job's results: weights, training runs, other jobs, data set, and version of the computation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from shared.database.datasets import Dataset
from shared.database.networks import TrainingRun
from shared.errors import SpecificationNotReadable
from shared.jobs.tables import Job
from shared.kinds.registry import describe, kinds, parse, specification_values

WEIGHTS = "weights_sha256"  # in a specification, also below a list of networks


@dataclass(frozen=True)
class Origin:
    """Another job that this one used, such as the training run of its weights; ``role`` is a field of the
    specification.

    ``what`` is None if the job was removed.
    """

    role: str
    job_id: int
    what: str | None
    is_run: bool  # whether it is a training run


@dataclass(frozen=True)
class Provenance:
    """What determines a job's results.

    Parameters
    ----------
    dataset, fingerprint
        Name of the data set, and its fingerprint when the job was submitted.
    dataset_changed
        Whether the data set has another fingerprint now.
    weights
        SHA-256 of the weights, or of those of all networks.
    version
        Version of the computation of this kind; None if the job was made by another version.
    origins
        The jobs that it used.
    environment
        Versions of libraries, of a training run that has recorded them.
    """

    dataset: str
    fingerprint: str
    dataset_changed: bool
    weights: list[str]
    version: int | None
    origins: list[Origin]
    environment: dict[str, Any]


def provenance(session: Session, job: Job) -> Provenance:
    """Return what made a job's results.

    Raises
    ------
    SpecificationNotReadable
        The job's row is damaged.
    """
    values = specification_values(job.kind, job.specification)
    dataset = session.get_one(Dataset, job.dataset_id)
    run = session.get(TrainingRun, job.id)
    fingerprint = str(values.get("dataset_fingerprint", ""))
    return Provenance(
        dataset.name,
        fingerprint,
        fingerprint != dataset.fingerprint,
        _weights(values),
        _version(job),
        _origins(session, job, values),
        dict(run.environment or {}) if run else {},
    )


def _weights(values: Mapping[str, Any]) -> list[str]:
    networks = values.get("networks")
    parts = [values, *(networks if isinstance(networks, list) else [])]
    return [str(part[WEIGHTS]) for part in parts if isinstance(part, Mapping) and part.get(WEIGHTS)]


def _version(job: Job) -> int | None:
    """Return the version of the kind's computation if the job's key is one of that version."""
    try:
        specification = parse(job.kind, job.specification)
    except SpecificationNotReadable:
        return None
    return specification.version if specification.key() == job.key else None


def _origins(session: Session, job: Job, values: Mapping[str, Any]) -> list[Origin]:
    roles = kinds()[job.kind].other_jobs if job.kind in kinds() else ()
    found = []
    for role in roles:
        number = values.get(role)
        if isinstance(number, int):
            other = session.get(Job, number)
            what = describe(other.kind, other.specification) if other else None
            is_run = session.get(TrainingRun, number) is not None
            found.append(Origin(role.removesuffix("_id").replace("_", " "), number, what, is_run))
    return found
