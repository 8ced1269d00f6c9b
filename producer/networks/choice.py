"""Choice of the network to analyse: from a training run, or from a weights file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from producer.networks.description import describe, describe_with_weights
from producer.networks.own import named_network
from shared.database.catalogue import find_checkpoint, find_dataset
from shared.database.connection import Database
from shared.database.datasets import Dataset
from shared.database.networks import Checkpoint, CheckpointKind, TrainingRun
from shared.errors import NoSuchRun, NoTrainedNetwork, OnlyEarlierNetwork, UsageError
from shared.jobs.tables import Job, JobState
from shared.kinds.registry import parse
from shared.settings import Settings
from unitscope.description import NetworkDescription, NetworkSpecification


@dataclass(frozen=True)
class NetworkOptions:
    """The requested network: a training run, or a weights file with the network that it belongs to."""

    run: int | None = None
    weights: Path | None = None
    network: str | None = None
    classes: int | None = None
    fc: int | None = None
    size: int | None = None
    maps: tuple[int, int, int] | None = None
    without: Sequence[str] = ()
    head: int | None = None


@dataclass(frozen=True)
class ChosenNetwork:
    """A network, its weights in the artifact store, and the training run that produced them, if any."""

    description: NetworkDescription
    path: str
    sha256: str
    training_job_id: int | None


def choose_network(
    database: Database, settings: Settings, dataset: Dataset, options: NetworkOptions
) -> ChosenNetwork:
    """Choose the network to analyse.

    It is the network of ``options.weights``; without weights, it is that of the training run ``options.run`` or of
    the latest finished run on the data set, with the run's best weights.

    Raises
    ------
    NoSuchRun, NoTrainedNetwork, SpecificationNotReadable, and the errors of ``describe_with_weights``
    """
    if options.weights is None:
        with database.read() as session:
            job, best = _find_run(session, dataset, options.run)
        specification = network_of_run(job)
        return ChosenNetwork(describe(database, specification, settings), best.path, best.sha256, job.id)
    specification = named_network(
        database,
        settings,
        options.network or "zfnet",
        options.classes,
        usual_classes=len(dataset.class_names),
        size=options.size,
        fc=options.fc,
        maps=options.maps,
        without=options.without,
        head=options.head,
    )
    description, stored = describe_with_weights(database, specification, options.weights, settings)
    return ChosenNetwork(description, stored.path, stored.sha256, None)


def dataset_of_network(session: Session, name: str | None, options: NetworkOptions) -> Dataset:
    """Return the data set of a job: the one that is named, or else that of the training run.

    Raises
    ------
    NoSuchDataset, NoSuchRun, UsageError
    """
    if name is not None:
        return find_dataset(session, name)
    if options.run is None:
        raise UsageError(
            reason="Give --dataset, or --run for the data set of a training run. Each job belongs to a data set, "
            "also if it reads no image."
        )
    dataset = session.scalar(select(Dataset).join(Job, Job.dataset_id == Dataset.id).where(Job.id == options.run))
    if dataset is None:
        raise NoSuchRun(job_id=options.run, state="")
    return dataset


def network_of_run(job: Job) -> NetworkSpecification:
    """Return the network of a training run.

    Raises
    ------
    SpecificationNotReadable
    """
    specification: Any = parse(job.kind, job.specification)
    network: NetworkSpecification = specification.network
    return network


def _no_network(session: Session, dataset: Dataset) -> UsageError:
    """Return the error, which names the latest run on an earlier version of the data set, if there is one."""
    earlier = Dataset.name.startswith(f"{dataset.name}@", autoescape=True)
    query = (
        select(Job.id).join(TrainingRun, TrainingRun.job_id == Job.id).join(Dataset, Job.dataset_id == Dataset.id)
    )
    newest = query.where(earlier, Job.state == JobState.DONE).order_by(Job.id.desc()).limit(1)
    if (run := session.scalar(newest)) is not None:
        return OnlyEarlierNetwork(dataset=dataset.name, job_id=run)
    return NoTrainedNetwork(dataset=dataset.name)


def _find_run(session: Session, dataset: Dataset, job_id: int | None) -> tuple[Job, Checkpoint]:
    """Return a finished training run, and its checkpoint with the best weights."""
    if job_id is not None:
        return find_finished_run(session, job_id)
    same_content = TrainingRun.dataset_id.in_(select(Dataset.id).where(Dataset.fingerprint == dataset.fingerprint))
    newest = (
        select(Job)
        .join(TrainingRun, TrainingRun.job_id == Job.id)
        .where(same_content, Job.state == JobState.DONE)
        .order_by(Job.finished_at.desc(), Job.id.desc())
    )
    job = session.scalars(newest.limit(1)).one_or_none()
    if job is None:
        raise _no_network(session, dataset)
    return job, _best_checkpoint(session, job)


def find_finished_run(session: Session, job_id: int) -> tuple[Job, Checkpoint]:
    """Return a finished training run, and its checkpoint with the best weights.

    Raises
    ------
    NoSuchRun, UsageError
    """
    query = select(Job).join(TrainingRun, TrainingRun.job_id == Job.id).where(Job.id == job_id)
    job = session.scalars(query).one_or_none()
    if job is None or job.state != JobState.DONE:
        raise NoSuchRun(job_id=job_id, state="finished " if job else "")
    return job, _best_checkpoint(session, job)


def _best_checkpoint(session: Session, job: Job) -> Checkpoint:
    best = find_checkpoint(session, job.id, CheckpointKind.BEST)
    if best is None:
        raise UsageError(reason=f"Training run {job.id} has no checkpoint of its best weights.")
    return best


def require_same_classes(chosen: ChosenNetwork, dataset: Dataset) -> None:
    """Check that the network has as many classes as the data set.

    Raises
    ------
    UsageError
    """
    classes = chosen.description.specification.classes
    if classes != len(dataset.class_names):
        reason = (
            f"The network has {classes} classes, but data set {dataset.name} has {len(dataset.class_names)}: the "
            "probability of the true class is undefined."
        )
        raise UsageError(reason=reason)
