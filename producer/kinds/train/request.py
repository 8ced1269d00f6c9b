"""Validation of a request for a training run, before a job is created."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError
from sqlalchemy.orm import Session

from producer.kinds.train.subsets import TrainingSubsets, count_images
from producer.networks.choice import network_specification
from producer.networks.description import describe, describe_with_weights
from shared.database.catalogue import find_checkpoint, find_dataset, find_split
from shared.database.connection import Database
from shared.database.networks import CheckpointKind, TrainingRun
from shared.errors import NoSuchRun, NotExtendable, UsageError
from shared.jobs.tables import Job, JobState
from shared.kinds.registry import parse
from shared.kinds.train.specification import KEPT_EPOCHS, TrainSpecification
from shared.settings import Settings
from unitscope.data.subsets import Fold
from unitscope.errors import InvalidRecipe
from unitscope.training.recipes import PRESETS, Recipe, recipe_for


def training_request(
    database: Database,
    settings: Settings,
    *,
    dataset: str,
    network: str | None = None,
    recipe: str | None = None,
    changes: Mapping[str, Any],
    network_options: Mapping[str, Any],
    train_split: str = "train",
    val_split: str = "val",
    train_per_class: int | None = None,
    val_per_class: int | None = None,
    fold: Fold | None = None,
    weights: Path | None = None,
    keep_epochs: Sequence[int] | None = None,
    seed: int = 0,
    tensorboard: bool = False,
) -> TrainSpecification:
    """Validate the request and return the specification of a training run.

    Parameters
    ----------
    recipe, network
        Names; if one is None, the other determines it.
    changes
        Fields of ``unitscope.training.recipes.Recipe`` and their values.
    network_options
        ``fc``, ``size``, ``maps``, ``without``, ``head``: see ``network_specification``.
    train_per_class, val_per_class, fold
        Images drawn from both splits: see ``TrainingSubsets``.
    weights
        File of the initial weights, or ``DEFAULT`` to download torchvision's.

    Raises
    ------
    NoSuchDataset, NoSuchSplit, EmptySplit, NoSuchNetwork, UsageError, and the errors of ``describe_with_weights``
    """
    try:
        recipe_name, network_name, chosen = recipe_for(recipe, network, changes)
    except InvalidRecipe as error:
        field, value, reason = (error.details[name] for name in ("field", "value", "reason"))
        flag = f"--{str(field).replace('_', '-')}"
        raise UsageError(reason=f"{flag} {value} (in --set {field}): {reason}.") from error
    with database.read() as session:
        row = find_dataset(session, dataset)
        train_split, _ = find_split(session, row, train_split)
        val_split, _ = find_split(session, row, val_split)
        subsets = TrainingSubsets(train_split, val_split, fold, seed, train_per_class, val_per_class)
        train_count, val_count = count_images(session, row, subsets)
    given = dict(network_options)
    if given.get("head") is None and network_name == PRESETS[recipe_name].network:
        given["head"] = PRESETS[recipe_name].head
    specification = network_specification(network_name, len(row.class_names), **given)
    stored = None
    if weights:
        _, stored = describe_with_weights(database, specification, weights, settings, pretrained=True)
    else:
        describe(database, specification, settings)
    try:
        return TrainSpecification(
            dataset_id=row.id,
            dataset_fingerprint=row.fingerprint,
            network=specification,
            recipe_name=recipe_name,
            recipe=chosen,
            train_split=train_split,
            val_split=val_split,
            train_count=train_count,
            val_count=val_count,
            train_per_class=train_per_class,
            val_per_class=val_per_class,
            fold=fold,
            seed=seed,
            keep_epochs=tuple(sorted(set(KEPT_EPOCHS if keep_epochs is None else keep_epochs))),
            weights_sha256=stored.sha256 if stored else None,
            weights_path=stored.path if stored else None,
            tensorboard=tensorboard,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(reason=f"--{str(first['loc'][0]).replace('_', '-')}: {first['msg']}.") from error


def extension_request(
    database: Database, run: int, epochs: int | None, *, tensorboard: bool = False
) -> TrainSpecification:
    """Return the specification of a run that continues a finished one, up to ``epochs`` epochs in all.

    Raises
    ------
    NoSuchRun, NotExtendable, SpecificationNotReadable
    """
    with database.read() as session:
        job = session.get(Job, run)
        if job is None or job.kind != "train":
            raise NoSuchRun(job_id=run, state="")
        if job.state != JobState.DONE:
            raise NotExtendable(job_id=run, reason=f"it is {job.state}, not done")
        state = find_checkpoint(session, run, CheckpointKind.STATE)
    if state is None:
        raise NotExtendable(job_id=run, reason="it has no checkpoint of its training state")
    before = cast(TrainSpecification, parse(job.kind, job.specification))
    if epochs is None or epochs <= state.epoch:
        raise NotExtendable(job_id=run, reason=f"it has {state.epoch} epochs; give a larger number with --epochs")
    return before.model_copy(
        update={
            "recipe": Recipe.model_validate({**before.recipe.model_dump(), "epochs": epochs}),
            "extended_sha256": state.sha256,
            "extended_path": state.path,
            "extended_job_id": run,
            "extended_epochs": state.epoch,
            "tensorboard": tensorboard,
        }
    )


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
