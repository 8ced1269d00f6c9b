"""From what a person asked to a job specification: every mistake is said before a job is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from producer.describing import describe_with_weights
from shared.catalogue import find_checkpoint, find_dataset, split_size, split_sizes
from shared.database import Database
from shared.errors import NoSuchRun, NoSuchUnit, NoTrainedNetwork, UsageError
from shared.models import CheckpointKind, Dataset, Job, JobState, Network, TrainingRun
from shared.networks import NetworkDescription, NetworkSpecification, input_defaults
from shared.settings import Settings
from shared.specifications import SearchedLayerSpecification, Top9Specification
from shared.specifications.top9 import Projection


@dataclass(frozen=True)
class _Weights:
    """Where a search's network comes from."""

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


def search_request(
    database: Database,
    settings: Settings,
    *,
    dataset: str,
    layers: Sequence[str],
    units: Sequence[int] | None,
    split: str | None,
    top: int,
    shards: int,
    run: int | None,
    weights: Path | None,
    network: str | None,
    classes: int | None,
    fc: int | None,
    size: int | None,
    maps: tuple[int, int, int] | None = None,
    without: Sequence[str] = (),
    bottom: bool = False,
    per_class: bool = False,
    projection: Projection = "deconvnet",
) -> Top9Specification:
    """The specification of a top-9 search.

    Raises
    ------
    NoSuchDataset, NoSuchSplit, EmptySplit, NoSuchRun, NoTrainedNetwork, NoSuchLayer, NotAConvolution,
    AmbiguousLayer, NoSuchUnit, and what reading weights raises
    """
    with database.read() as session:
        found = find_dataset(session, dataset)
        split = split or _default_split(session, found)
        count = split_size(session, found, split)
        chosen = None if weights else _from_run(session, found, run)
    if weights:
        classes = classes or len(found.class_names)
        wanted = network_specification(network or "zfnet", classes, size, fc, maps, without)
        description, taken = describe_with_weights(database, wanted, weights, settings)
        chosen = _Weights(description, taken.path, taken.sha256, None)
    assert chosen is not None  # noqa: S101 - one of the two branches gave it
    searched: dict[str, SearchedLayerSpecification] = {}
    for name in layers:
        layer = chosen.description.find_convolution(name)
        wrong = [unit for unit in units or () if unit >= layer.units]
        if wrong:
            raise NoSuchUnit(layer=name, unit=wrong[0], last=layer.units - 1)
        searched[layer.path] = SearchedLayerSpecification(
            layer=layer.name or layer.path, path=layer.path, units=list(units or range(layer.units))
        )
    order = [layer.path for layer in chosen.description.layers]
    return Top9Specification(
        dataset_id=found.id,
        dataset_fingerprint=found.fingerprint,
        split=split,
        image_count=count,
        network=chosen.description.specification,
        weights_sha256=chosen.sha256,
        weights_path=chosen.path,
        training_job_id=chosen.training_job_id,
        layers=[searched[path] for path in sorted(searched, key=order.index)],
        top=top,
        bottom=bottom,
        per_class=per_class,
        projection=projection,
        shards=shards,
    )


def _default_split(session: Session, dataset: Dataset) -> str:
    """``val`` where there is one, as in the paper's figure; else the first."""
    sizes = split_sizes(session, dataset)
    filled = [split for split, size in sizes.items() if size]
    return "val" if "val" in filled else next(iter([*filled, *sizes]), "val")


def _from_run(session: Session, dataset: Dataset, job_id: int | None) -> _Weights:
    """The best weights of a training run: the newest finished one on the data set, unless one is named."""
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
            raise NoTrainedNetwork(dataset=dataset.name)
    training_run = row[0]
    description = NetworkDescription.model_validate(session.get_one(Network, training_run.network_key).description)
    best = find_checkpoint(session, training_run.job_id, CheckpointKind.BEST)
    if best is None:
        raise UsageError(reason=f"Training run {training_run.job_id} has no best weights.")
    return _Weights(description, best.path, best.sha256, training_run.job_id)
