"""Validation of a request for a training run, before a job is created."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy.orm import Session

from producer.kinds.train.options import TrainingOptions, find_training_run, options_like
from producer.kinds.train.subsets import TrainingSubsets, count_images
from producer.networks.choice import find_finished_run, network_of_run
from producer.networks.description import describe, describe_with_weights
from producer.networks.own import named_network
from producer.networks.specification import changed_network
from shared.database.catalogue import find_checkpoint, find_dataset, find_split
from shared.database.connection import Database
from shared.database.networks import CheckpointKind, TrainingRun
from shared.errors import ArtifactMissing, NotExtendable, UsageError
from shared.jobs.tables import JobState
from shared.kinds.train.specification import KEPT_EPOCHS, TIME_SLICE_MINUTES, TrainSpecification
from shared.settings import Settings
from shared.store.ownership import open_store
from unitscope.description import NetworkSpecification
from unitscope.errors import InvalidRecipe
from unitscope.training.recipes import PRESETS, Recipe, recipe_for


def training_request(
    database: Database, settings: Settings, options: TrainingOptions, like: int | None = None
) -> TrainSpecification:
    """Validate the request and return the specification of a training run.

    Parameters
    ----------
    like
        A training job of any state, whose options are taken over where none are given.

    Raises
    ------
    NoSuchDataset, NoSuchSplit, EmptySplit, NoSuchNetwork, NoSuchRun, SpecificationNotReadable, UsageError,
    ArtifactDamaged, and the errors of ``describe_with_weights``
    """
    weights, network = options.weights, None  # ``network``: that of another run
    if options.weights_of:
        if weights:
            raise UsageError(reason="--weights and --weights-of are mutually exclusive.")
        weights, network = _best_weights(database, settings, options.weights_of)
    if like:
        options, network = options_like(database, like, options)
    if not options.dataset:
        raise UsageError(reason="Missing option '--dataset', or '--like'.")
    recipe_name, network_name, recipe = _recipe(options, network)
    seed = options.seed or 0
    with database.read() as session:
        row = find_dataset(session, options.dataset)
        train_split, _ = find_split(session, row, options.train_split or "train")
        val_split, _ = find_split(session, row, options.val_split or "val")
        subsets = TrainingSubsets(
            train_split, val_split, options.fold, seed, options.train_per_class, options.val_per_class
        )
        train_count, val_count = count_images(session, row, subsets)
    make = partial(named_network, database, settings)
    specification = _network(make, options, recipe_name, network_name, len(row.class_names), network)
    stored = None
    if weights:
        _, stored = describe_with_weights(database, specification, weights, settings, pretrained=True)
    else:
        describe(database, specification, settings)
    return _validated(
        dataset_id=row.id,
        dataset_fingerprint=row.fingerprint,
        network=specification,
        recipe_name=recipe_name,
        recipe=recipe,
        train_split=train_split,
        val_split=val_split,
        train_count=train_count,
        val_count=val_count,
        train_per_class=options.train_per_class,
        val_per_class=options.val_per_class,
        fold=options.fold,
        seed=seed,
        keep_epochs=tuple(sorted(set(KEPT_EPOCHS if options.keep_epochs is None else options.keep_epochs))),
        weights_sha256=stored.sha256 if stored else None,
        weights_path=stored.path if stored else None,
        tensorboard=options.tensorboard,
        time_slice_minutes=TIME_SLICE_MINUTES if options.time_slice is None else options.time_slice,
    )


def _validated(**values: Any) -> TrainSpecification:
    """Return the specification of these values. Raises ``UsageError``, which names the option of a wrong one."""
    try:
        return TrainSpecification(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).removesuffix("_minutes").replace("_", "-")
        raise UsageError(reason=f"--{name}: {first['msg']}.") from error


def _best_weights(database: Database, settings: Settings, run: int) -> tuple[Path, NetworkSpecification]:
    """Return the file of a finished run's best weights, and its network.

    Raises
    ------
    NoSuchRun, UsageError, SpecificationNotReadable, ArtifactDamaged
    """
    with database.read() as session:
        job, best = find_finished_run(session, run)
    store = open_store(database, settings.resolved_store)
    try:
        return store.verified(best.path), network_of_run(job)
    except ArtifactMissing as error:
        reason = f"The best weights of training run {run}, {best.path}, are not in the store {store.root}."
        raise UsageError(reason=reason) from error


def _recipe(options: TrainingOptions, network: NetworkSpecification | None) -> tuple[str, str, Recipe]:
    """Return the names of the recipe and of the network, and the recipe; ``network`` is that of another run."""
    name = options.network or (network.name if network else None)
    try:
        return recipe_for(options.recipe, name, options.changes)
    except InvalidRecipe as error:
        field, value, reason = (error.details[name] for name in ("field", "value", "reason"))
        flag = f"--{str(field).replace('_', '-')}"
        raise UsageError(reason=f"{flag} {value} (in --set {field}): {reason}.") from error


def _network(
    make: Callable[..., NetworkSpecification],
    options: TrainingOptions,
    recipe_name: str,
    network_name: str,
    classes: int,
    network: NetworkSpecification | None,
) -> NetworkSpecification:
    """Return the network to train; ``network`` is that of another run. ``make``: see ``named_network``."""
    given = dict(options.network_options)
    head = given.get("head") or (network.head if network else None)
    if head is None and network_name == PRESETS[recipe_name].network:
        given["head"] = PRESETS[recipe_name].head
    if network is None or options.network:
        named = make(network_name, classes, **given)
        if network is None or named.factory:  # of a network of the user's own, the name means its present version
            return named
    return changed_network(network, classes, network_name, **given)


def extension_request(
    database: Database, run: int, epochs: int | None, *, tensorboard: bool = False, time_slice: float | None = None
) -> TrainSpecification:
    """Return the specification of a run that continues a finished one, up to ``epochs`` epochs in all.

    Raises
    ------
    NoSuchRun, NotExtendable, SpecificationNotReadable, UsageError
    """
    with database.read() as session:
        job, before = find_training_run(session, run)
        if job.state != JobState.DONE:
            raise NotExtendable(job_id=run, reason=f"it is {job.state}, not done")
        state = find_checkpoint(session, run, CheckpointKind.STATE)
    if state is None:
        raise NotExtendable(job_id=run, reason="it has no checkpoint of its training state")
    if epochs is None or epochs <= state.epoch:
        raise NotExtendable(job_id=run, reason=f"it has {state.epoch} epochs; give a larger number with --epochs")
    values = {
        **dict(before),
        "recipe": Recipe.model_validate({**before.recipe.model_dump(), "epochs": epochs}),
        "extended_sha256": state.sha256,
        "extended_path": state.path,
        "extended_job_id": run,
        "extended_epochs": state.epoch,
        "tensorboard": tensorboard,
        "time_slice_minutes": before.time_slice_minutes if time_slice is None else time_slice,
    }
    return _validated(**values)


def note_training_run(specification: TrainSpecification, session: Session, job_id: int) -> None:
    """Add the row of a new training run."""
    session.add(
        TrainingRun(
            job_id=job_id,
            dataset_id=specification.dataset_id,
            network_key=specification.network.key(),
            network=specification.network.name,
            epochs=specification.recipe.epochs,
        )
    )


def parse_changes(settings: Sequence[str]) -> dict[str, str]:
    """Parse settings such as ``lr_step=7`` into fields of a recipe and their values, as text.

    Raises
    ------
    UsageError
    """
    changes = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name.strip():
            raise UsageError(reason=f"--set {setting} is not of the form learning_rate=0.01.")
        name = {"lr": "learning_rate"}.get(name.strip(), name.strip().replace("-", "_"))
        if name in ("freeze", "rates"):
            raise UsageError(
                reason=f"--set can't change {name}. Use --{'rate' if name == 'rates' else name}, once or more."
            )
        changes[name] = value.strip()
    return changes
