"""Measure the features of some images of a probe job on this machine, and fits to random features."""

from __future__ import annotations

from functools import partial
from typing import cast

import numpy as np

from shared.kinds.probe.images import ProbedImages, probed_images
from shared.kinds.probe.specification import BATCH, ProbeSpecification
from unitscope.data.images import ImageSource, batches
from unitscope.probing.classifiers import HELD_OUT_SHARE, STRENGTHS, fit_classifier
from unitscope.probing.features import read_features
from worker.context import JobContext
from worker.kinds.common import load_network, sources_by_id
from worker.kinds.measuring import Measured, seconds_of

IMAGES = 2 * BATCH  # after a batch whose time is not counted
FITTED_IMAGES = 200  # at most; the time of a fit is about proportional to the number of images
FITS = len(STRENGTHS) * (1 - HELD_OUT_SHARE) + 1  # of a probe, in fits to all training images


def measure(context: JobContext) -> Measured:
    """Measure the network on some images, and a fit of each classifier to random features."""
    specification = cast(ProbeSpecification, context.specification)
    with context.database.read() as session:
        images = probed_images(session, specification.dataset_id, specification.sampling)
    ids = images.ids[: BATCH + IMAGES]
    by_id = sources_by_id(context, ids)
    sources = [by_id[image_id] for image_id in ids]
    _read(context, specification, sources[:BATCH])
    timed = sources[BATCH:] or sources
    took = seconds_of(lambda: _read(context, specification, timed), context.device)
    details = {"fits": "measured with random features; images that are easier to separate take less time"}
    return Measured(
        {"features": took / len(timed), "fit": _fit_seconds(context, specification, images)}, details=details
    )


def _read(context: JobContext, specification: ProbeSpecification, sources: list[ImageSource]) -> None:
    network = specification.network
    read_features(
        load_network(context, network, specification.weights_path),
        specification.layers,
        batches(sources, BATCH, network.image_size, pad=True, skipped=[]),
        specification.pooling,
        context.device,
        mean=network.mean,
        std=network.std,
    )


def _fit_seconds(context: JobContext, specification: ProbeSpecification, images: ProbedImages) -> float:
    """Return the mean seconds of a probe: those of a fit to the layer with most features, in proportion to the
    numbers of images and features."""
    training = images.trials[0].training
    classes = sorted({images.labels[index] for index in training})
    features = [layer.features for layer in specification.layers]
    count = max(2, min(len(training), FITTED_IMAGES))
    labels = np.resize(classes, count)
    generator = np.random.default_rng(0)
    values = (generator.normal(size=(count, max(features))) / np.sqrt(max(features))).astype(np.float32)
    if len(set(labels.tolist())) < 2:
        labels[0] = classes[-1]
    seconds = 0.0
    for classifier in specification.classifiers:
        fit_classifier(values[:2], np.array([0, 1]), classifier, 1.0, 0)  # imports scikit-learn
        fit = partial(fit_classifier, values, labels, classifier, 1.0, 0)
        took = seconds_of(fit, context.device)
        seconds += took * FITS / len(specification.classifiers)
    return seconds * len(training) / count * (sum(features) / len(features)) / max(features)
