"""Validation of a request for probes, before a job is created: layers, splits, and numbers of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from producer.cost.shards import LEAST_SHARDS, shards_by_work
from producer.networks.choice import NetworkOptions, choose_network, dataset_of_network
from shared.database.catalogue import find_split
from shared.database.connection import Database
from shared.database.datasets import Dataset
from shared.errors import NoSuchSplit, UsageError
from shared.kinds.probe.images import ProbedImages, probed_images
from shared.kinds.probe.specification import ProbeSpecification, Sampling, default_shards
from shared.settings import Settings
from unitscope.data.subsets import smallest_class
from unitscope.probing.layers import probed_layers
from unitscope.vocabulary import CLASSIFIERS, Classifier, Pooling

LEAST_TRAINING = 2  # images of each class: one to learn from, and one that is held out


class NoSplitToProbe(NoSuchSplit):
    """{reason} Name the splits of the training and the test images with --train-split and --test-split. --folds 5
    divides the images of both, which can be the same one."""


def probe_request(
    database: Database,
    settings: Settings,
    *,
    dataset: str | None,
    layers: Sequence[str],
    classifiers: Sequence[Classifier],
    network: NetworkOptions,
    pooling: Pooling,
    max_features: int,
    shuffle_labels: bool,
    shards: int | None,
    folds: int | None,
    repeats: int,
    **sampling: Any,
) -> ProbeSpecification:
    """Validate the request and return the specification of a probe job.

    Parameters
    ----------
    sampling
        the other fields of ``Sampling``.

    Raises
    ------
    NoSuchDataset, NoSuchSplit, EmptySplit, NoSuchRun, NoTrainedNetwork, NoSuchModule, NoFeatures,
    UsageError, and the errors of ``choose_network``
    """
    if folds and repeats > 1:
        raise UsageError(reason="--folds and --seeds can't be combined: every fold is a trial.")
    with database.read() as session:
        row = dataset_of_network(session, dataset, network)
        for name in ("train_split", "test_split"):
            sampling[name] = _find_split(session, row, sampling[name])
        chosen_sampling = Sampling(folds=folds, repeats=repeats, **sampling)
        images = _checked_images(session, row, chosen_sampling)
    chosen = choose_network(database, settings, row, network)
    specification = ProbeSpecification(
        dataset_id=row.id,
        dataset_fingerprint=row.fingerprint,
        sampling=chosen_sampling,
        image_count=len(images.ids),
        network=chosen.description.specification,
        weights_sha256=chosen.sha256,
        weights_path=chosen.path,
        training_job_id=chosen.training_job_id,
        layers=probed_layers(chosen.description, layers, max_features),
        classifiers=tuple(name for name in CLASSIFIERS if not classifiers or name in classifiers),
        pooling=pooling,
        max_features=max_features,
        shuffle_labels=shuffle_labels,
        shards=shards,
    )
    if shards:
        return specification
    # As many as by default, at least: a shard holds its features in memory.
    least = max(LEAST_SHARDS, default_shards(len(images.ids)))
    shards = shards_by_work(database, specification, ["features"], len(images.ids), least)
    return specification.model_copy(update={"shards": shards})


def _find_split(session: Session, dataset: Dataset, name: str) -> str:
    """Return a split's name as it is stored.

    Raises
    ------
    NoSuchSplit, EmptySplit
    """
    try:
        return find_split(session, dataset, name)[0]
    except NoSuchSplit as error:
        raise NoSplitToProbe(reason=error) from error


def _checked_images(session: Session, dataset: Dataset, sampling: Sampling) -> ProbedImages:
    """Draw the images, and check that every trial has enough of each class, and no image twice."""
    images = probed_images(session, dataset.id, sampling)
    classes = set(images.labels)
    if len(classes) < 2:
        raise UsageError(reason="A probe needs images of at least two classes.")
    for trial, (training, test) in zip(sampling.trials, images.trials, strict=True):
        if both := set(training) & set(test):
            raise UsageError(
                reason=f"{len(both)} images are in split '{sampling.train_split}' and in "
                f"'{sampling.test_split}'. Give splits without common images, or --folds."
            )
        where = f" of fold {trial.fold.number}" if trial.fold else ""
        needed = (
            ("training", training, max(LEAST_TRAINING, sampling.per_class or 0), " (--per-class)"),
            ("test", test, 1, ""),
        )
        for part, indices, least, option in needed:
            label, count = smallest_class(images.labels, indices, classes)
            if count < least:
                option = option if least > LEAST_TRAINING else ""
                advice = "Choose another number or other splits" + (
                    ", or give --folds." if part == "test" and not trial.fold else "."
                )
                raise UsageError(
                    reason=f"Class '{dataset.class_names[label]}' has {count} {part} images{where}, and {least} "
                    f"are needed{option}. {advice}"
                )
    return images
