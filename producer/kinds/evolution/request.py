"""Validation of a request for an evolution, before a job is created: run, kept weights, layers, and units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from producer.cost.shards import shards_by_work
from producer.networks.description import describe
from shared.database.catalogue import find_split
from shared.database.connection import Database
from shared.database.datasets import Dataset
from shared.database.networks import Checkpoint, CheckpointKind, TrainingRun
from shared.errors import ArtifactMissing, NoSuchRun, UsageError
from shared.jobs.tables import ACTIVE_JOBS, Job, JobState
from shared.jobs.transitions import missing_job
from shared.kinds.evolution.specification import (
    LEAST_SHARDS,
    EvolutionSpecification,
    EvolvingLayer,
    KeptCheckpoint,
)
from shared.kinds.registry import parse
from shared.settings import Settings
from shared.store.store import Store
from unitscope.description import NetworkDescription
from unitscope.errors import NoSuchUnit
from unitscope.vocabulary import ProjectionMethod


def evolution_request(
    database: Database,
    settings: Settings,
    *,
    run: int,
    layers: Sequence[str] = (),
    units: Sequence[int] | None = None,
    draw: int = 6,
    seed: int = 0,
    epochs: Sequence[int] | None = None,
    split: str | None = None,
    projection: ProjectionMethod = "deconvnet",
    shards: int | None = None,
) -> EvolutionSpecification:
    """Validate the request and return the specification of an evolution. ``shards`` None: by its work.

    Raises
    ------
    NoSuchJob, NoSuchRun, SpecificationNotReadable, UsageError, NoSuchSplit, EmptySplit, NoSuchLayer,
    NotAConvolution, AmbiguousLayer, NoSuchUnit, UnsupportedActivation
    """
    with database.read() as session:
        job = _find_run(session, run)
        trained: Any = parse(job.kind, job.specification)
        dataset = session.get_one(Dataset, job.dataset_id)
        checkpoints = _kept(session, run, epochs, trained.recipe.epochs)
        of_run = split in (None, trained.train_split)
        split, count = find_split(session, dataset, split or trained.train_split)
    per_class = trained.train_per_class if of_run else None
    _check_files(settings, run, checkpoints)
    description = describe(database, trained.network, settings)
    specification = EvolutionSpecification(
        dataset_id=dataset.id,
        dataset_fingerprint=dataset.fingerprint,
        split=split,
        image_count=trained.train_count if per_class else count,
        per_class=per_class,
        sampling_seed=trained.seed if per_class else None,
        network=trained.network,
        checkpoints=checkpoints,
        training_job_id=run,
        layers=_layers(description, layers, units, projection),
        # Without effect if the units are named: equal requests must have equal keys.
        draw=draw if units is None else 0,
        seed=seed if units is None else 0,
        projection=projection,
        shards=shards or LEAST_SHARDS,
    )
    if shards:
        return specification
    shards = shards_by_work(database, specification, ["search"], specification.image_count, LEAST_SHARDS)
    return specification.model_copy(update={"shards": shards})


def _find_run(session: Session, run: int) -> Job:
    job = session.get(Job, run)
    if job is None:
        raise missing_job(session, run)
    if session.get(TrainingRun, run) is None:
        raise NoSuchRun(job_id=run, state="")
    if job.state in ACTIVE_JOBS:
        raise UsageError(
            reason=f"Training run {run} is {job.state}. Submit its evolution when it is done (`analyze watch`)."
        )
    if job.state != JobState.DONE:
        raise UsageError(
            reason=f"Training run {run} is {job.state}, not done. `analyze retry {run}` continues it."
        )
    return job


def _kept(session: Session, run: int, epochs: Sequence[int] | None, trained: int) -> list[KeptCheckpoint]:
    """Return the run's kept weights of these epochs; of all kept epochs for None."""
    query = select(Checkpoint).where(Checkpoint.job_id == run, Checkpoint.kind == CheckpointKind.EPOCH)
    rows = session.scalars(query.order_by(Checkpoint.epoch)).all()
    kept = {
        row.epoch: KeptCheckpoint(epoch=row.epoch, weights_sha256=row.sha256, weights_path=row.path)
        for row in rows
    }
    listed = ", ".join(map(str, kept)) or "none"
    again = "Train again with --keep-epochs, which names the epochs whose weights are kept."
    if len(kept) < 2:
        reason = (
            f"Training run {run} ({trained} epochs) kept the weights of "
            f"{'only one epoch' if kept else 'no epoch'}, but an evolution compares at least two. {again}"
        )
        raise UsageError(reason=reason)
    if missing := [epoch for epoch in epochs or () if epoch not in kept]:
        raise UsageError(
            reason=f"Training run {run} has not kept the weights of epoch {missing[0]}. Kept epochs: {listed}."
        )
    chosen = [kept[epoch] for epoch in epochs] if epochs is not None else list(kept.values())
    if len(chosen) < 2:
        raise UsageError(reason=f"An evolution compares at least two epochs. Kept epochs of run {run}: {listed}.")
    return chosen


def _check_files(settings: Settings, run: int, checkpoints: Sequence[KeptCheckpoint]) -> None:
    """Check that the store has the weights, unless this machine does not have the store."""
    store = Store(settings.resolved_store)
    if not store.root.is_dir():
        return
    for checkpoint in checkpoints:
        try:
            store.locate(checkpoint.weights_path)
        except ArtifactMissing as error:
            reason = (
                f"The weights of epoch {checkpoint.epoch} of training run {run} are no longer in the store "
                f"{store.root}: they were removed. Restore {checkpoint.weights_path}, or leave the epoch out with "
                "--epochs."
            )
            raise UsageError(reason=reason) from error


def _layers(
    description: NetworkDescription,
    names: Sequence[str],
    units: Sequence[int] | None,
    projection: ProjectionMethod,
) -> list[EvolvingLayer]:
    """Return the named layers, or all convolutions, in the order of the network."""
    chosen = [description.find_convolution(name) for name in names] or description.convolutions()
    found: dict[str, EvolvingLayer] = {}
    for layer in chosen:
        layer.check_projection(projection)
        if wrong := [unit for unit in units or () if unit >= layer.units]:
            raise NoSuchUnit(layer=layer.label, unit=wrong[0], last=layer.units - 1)
        drawn = None if units is None else list(units)
        found[layer.path] = EvolvingLayer(layer=layer.label, path=layer.path, units=layer.units, drawn=drawn)
    order = [layer.path for layer in description.layers]
    return [found[path] for path in sorted(found, key=order.index)]
