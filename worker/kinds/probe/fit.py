"""Stage *fit* of a probe job: one classifier on the features of one layer, in one trial."""

from __future__ import annotations

from typing import cast

import numpy as np
from sqlalchemy.orm import Session

from shared.kinds.probe.images import ProbedImages, probed_images
from shared.kinds.probe.specification import ProbeSpecification
from shared.kinds.probe.tables import ProbeAccuracy
from unitscope.probing.classifiers import ProbeResult, fit_probe
from unitscope.vocabulary import Classifier
from worker.kinds.common import require_some
from worker.kinds.probe.stored import LayerFeatures, load_layer
from worker.runner import ShardContext


def fit(context: ShardContext) -> None:
    """Fit a classifier to the features of a layer, and store its accuracies."""
    specification = cast(ProbeSpecification, context.specification)
    number, classifier = context.payload["layer"], cast(Classifier, context.payload["classifier"])
    trial = specification.sampling.trials[context.payload["trial"] - 1]
    with context.database.read() as session:
        images = probed_images(session, specification.dataset_id, specification.sampling)
    stored = load_layer(context, number)
    require_some(context, len(images.ids) - len(stored.image_ids), len(images.ids))
    training, test = trial_rows(images, stored, trial.number)
    labels = stored_labels(images, stored)
    result = fit_probe(
        stored.features[training],
        labels[training],
        stored.features[test],
        labels[test],
        classifier,
        trial.seed,
        shuffle_labels=specification.shuffle_labels,
        progress=lambda: context.progress(0),
    )
    classes = len(np.unique(labels[test]))
    layer = specification.layers[number]
    row = ProbeAccuracy(
        job_id=context.claim.job_id,
        depth=number + 1,
        classifier=classifier,
        trial=trial.number,
        layer=layer.layer,
        layer_path=layer.path,
        read_path=layer.read_path,
        features=layer.features,
        pooling=specification.pooling if layer.grid else None,
        grid_rows=layer.grid[0] if layer.grid else None,
        grid_cols=layer.grid[1] if layer.grid else None,
        seed=trial.seed,
        fold=trial.fold.number if trial.fold else None,
        train_images=len(training),
        test_images=len(test),
        classes=classes,
        chance=1 / classes,
        shuffled_labels=specification.shuffle_labels,
        **accuracies(result),
    )
    context.progress()

    def write(session: Session) -> None:
        session.merge(row)

    context.complete(write)


def accuracies(result: ProbeResult) -> dict[str, float | bool | None]:
    """Return the columns of a row that the fit determines."""
    return {name: value for name, value in vars(result).items() if name != "predictions"}


def trial_rows(images: ProbedImages, stored: LayerFeatures, trial: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the stored features that are a trial's training images, and its test images."""
    ids = np.array(images.ids)
    training, test = (np.isin(stored.image_ids, ids[part]) for part in images.trials[trial - 1])
    return np.flatnonzero(training), np.flatnonzero(test)


def stored_labels(images: ProbedImages, stored: LayerFeatures) -> np.ndarray:
    """Return the labels of the stored images, int64 [images]."""
    return np.array(images.labels)[np.searchsorted(np.array(images.ids), stored.image_ids)]
