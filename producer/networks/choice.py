"""The network that an analysis is of: from a training run, or from a file of weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from producer.networks.description import describe_with_weights
from shared.database.catalogue import find_checkpoint
from shared.database.connection import Database
from shared.database.datasets import Dataset
from shared.database.networks import CheckpointKind, Network, TrainingRun
from shared.errors import NoSuchRun, NoTrainedNetwork, OnlyEarlierNetwork, UsageError
from shared.jobs.tables import Job, JobState
from shared.settings import Settings
from unitscope.description import NetworkDescription, NetworkSpecification, input_defaults


@dataclass(frozen=True)
class NetworkOptions:
    """What a person says of the network: a training run; or a file of weights, and what they are for."""

    run: int | None = None
    weights: Path | None = None
    network: str | None = None
    classes: int | None = None
    fc: int | None = None
    size: int | None = None
    maps: tuple[int, int, int] | None = None
    without: Sequence[str] = ()


@dataclass(frozen=True)
class ChosenNetwork:
    """A network, its weights in the artifact store, and the training run that they come from."""

    description: NetworkDescription
    path: str
    sha256: str
    training_job_id: int | None


def network_specification(
    name: str,
    classes: int,
    size: int | None = None,
    fc: int | None = None,
    maps: tuple[int, int, int] | None = None,
    without: Sequence[str] = (),
) -> NetworkSpecification:
    """A network with the input of its recipe, unless another size is given."""
    defaults = input_defaults(name)
    return NetworkSpecification(
        name=name,
        classes=classes,
        image_size=size or defaults.size,
        fc=fc,
        maps=maps,
        without=tuple(without),
        mean=defaults.mean,
        std=defaults.std,
    )


def choose_network(
    database: Database, settings: Settings, dataset: Dataset, options: NetworkOptions
) -> ChosenNetwork:
    """The network of these weights, or with the best weights of a training run: the newest finished one on the
    data set, unless one is named.

    Raises
    ------
    NoSuchRun, NoTrainedNetwork, and what reading weights raises
    """
    if options.weights is None:
        with database.read() as session:
            return _from_run(session, dataset, options.run)
    wanted = network_specification(
        options.network or "zfnet",
        options.classes or len(dataset.class_names),
        options.size,
        options.fc,
        options.maps,
        options.without,
    )
    description, taken = describe_with_weights(database, wanted, options.weights, settings)
    return ChosenNetwork(description, taken.path, taken.sha256, None)


def _no_network(session: Session, dataset: Dataset) -> UsageError:
    """Return the error: it names the newest run on an earlier version of the data set, if there is one."""
    earlier = Dataset.name.startswith(f"{dataset.name}@", autoescape=True)
    query = (
        select(Job.id).join(TrainingRun, TrainingRun.job_id == Job.id).join(Dataset, Job.dataset_id == Dataset.id)
    )
    newest = query.where(earlier, Job.state == JobState.DONE).order_by(Job.id.desc()).limit(1)
    if (run := session.scalar(newest)) is not None:
        return OnlyEarlierNetwork(dataset=dataset.name, job_id=run)
    return NoTrainedNetwork(dataset=dataset.name)


def _from_run(session: Session, dataset: Dataset, job_id: int | None) -> ChosenNetwork:
    query = select(TrainingRun, Job.state).join(Job, Job.id == TrainingRun.job_id)
    if job_id is not None:
        row = session.execute(query.where(TrainingRun.job_id == job_id)).one_or_none()
        if row is None or row.state != JobState.DONE:
            raise NoSuchRun(job_id=job_id, state="finished " if row else "")
    else:
        same_content = TrainingRun.dataset_id.in_(
            select(Dataset.id).where(Dataset.fingerprint == dataset.fingerprint)
        )
        newest = query.where(same_content, Job.state == JobState.DONE)
        row = session.execute(newest.order_by(Job.finished_at.desc(), Job.id.desc()).limit(1)).one_or_none()
        if row is None:
            raise _no_network(session, dataset)
    training_run = row[0]
    description = NetworkDescription.model_validate(session.get_one(Network, training_run.network_key).description)
    best = find_checkpoint(session, training_run.job_id, CheckpointKind.BEST)
    if best is None:
        raise UsageError(reason=f"Training run {training_run.job_id} has no best weights.")
    return ChosenNetwork(description, best.path, best.sha256, training_run.job_id)
