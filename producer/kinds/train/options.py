"""Options of a training run, and those that it takes over from an earlier one."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from sqlalchemy.orm import Session

from shared.database.connection import Database
from shared.database.datasets import Dataset
from shared.errors import NoSuchRun
from shared.jobs.tables import Job
from shared.kinds.registry import parse
from shared.kinds.train.specification import TrainSpecification
from unitscope.data.subsets import Fold
from unitscope.description import NetworkSpecification

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingOptions:
    """The options of a training run that are given; those that are None or empty have their defaults.

    Parameters
    ----------
    dataset, recipe, network
        Names. If one of recipe and network is None, the other determines it.
    changes
        Fields of ``unitscope.training.recipes.Recipe`` and their values.
    network_options
        ``fc``, ``size``, ``maps``, ``without``, ``head``: see ``network_specification``.
    train_per_class, val_per_class, fold
        Images drawn from both splits: see ``TrainingSubsets``.
    weights
        File of the initial weights, or ``DEFAULT`` to download torchvision's.
    weights_of
        A finished training run whose best weights are the initial ones.
    time_slice
        Minutes after which waiting work gets its turn.
    """

    dataset: str | None = None
    network: str | None = None
    recipe: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    network_options: Mapping[str, Any] = field(default_factory=dict)
    train_split: str | None = None
    val_split: str | None = None
    train_per_class: int | None = None
    val_per_class: int | None = None
    fold: Fold | None = None
    weights: Path | None = None
    weights_of: int | None = None
    keep_epochs: Sequence[int] | None = None
    seed: int | None = None
    tensorboard: bool = False
    time_slice: float | None = None


def find_training_run(session: Session, run: int) -> tuple[Job, TrainSpecification]:
    """Return a training job of any state, and its specification.

    Raises
    ------
    NoSuchRun, SpecificationNotReadable
    """
    job = session.get(Job, run)
    if job is None or job.kind != "train":
        raise NoSuchRun(job_id=run, state="")
    return job, cast(TrainSpecification, parse(job.kind, job.specification))


def options_like(
    database: Database, run: int, given: TrainingOptions
) -> tuple[TrainingOptions, NetworkSpecification]:
    """Return the options of a training job of any state, replaced by those that are given, and its network.

    A given recipe replaces all fields of the job's recipe. The initial weights are not taken over.

    Raises
    ------
    NoSuchRun, SpecificationNotReadable
    """
    with database.read() as session:
        job, before = find_training_run(session, run)
        dataset = session.get_one(Dataset, job.dataset_id).name
    recipe = {} if given.recipe else before.recipe.model_dump()
    if before.weights_sha256 and not (given.weights or given.weights_of):
        logger.warning("Note: the initial weights of run %d, and what it froze, are not taken over.", run)
        recipe = {name: value for name, value in recipe.items() if name not in ("freeze", "rates")}
    return replace(
        given,
        dataset=given.dataset or dataset,
        recipe=given.recipe or before.recipe_name,
        changes={**recipe, **given.changes},
        train_split=given.train_split or before.train_split,
        val_split=given.val_split or before.val_split,
        train_per_class=given.train_per_class or before.train_per_class,
        val_per_class=given.val_per_class or before.val_per_class,
        fold=given.fold or before.fold,
        keep_epochs=before.keep_epochs if given.keep_epochs is None else given.keep_epochs,
        seed=before.seed if given.seed is None else given.seed,
        tensorboard=given.tensorboard or before.tensorboard,
        time_slice=before.time_slice_minutes if given.time_slice is None else given.time_slice,
    ), before.network
