"""Recompute features of some images of a probe job, and one of its probes from the stored features."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import cast

import numpy as np
from sqlalchemy import select

from shared.jobs.tables import Shard
from shared.kinds.probe.images import probed_images
from shared.kinds.probe.specification import BATCH, ProbeSpecification
from shared.kinds.probe.tables import ProbeAccuracy
from unitscope.data.images import batches
from unitscope.probing.classifiers import fit_probe
from unitscope.probing.features import read_features
from unitscope.vocabulary import Classifier
from worker.context import JobContext
from worker.kinds.checking import Comparison
from worker.kinds.common import load_network, sources_by_id
from worker.kinds.probe.fit import accuracies, stored_labels, trial_rows
from worker.kinds.probe.stored import LayerFeatures, load_from


def check(context: JobContext, chance: random.Random, sample: int) -> Comparison:
    """Compare the features of a sample of images with a layer's stored ones, and one row with a new fit to them.

    Only one probe is fitted, since it can take minutes.
    """
    specification = cast(ProbeSpecification, context.specification)
    with context.database.read() as session:
        of_stage = select(Shard.result_path).where(Shard.job_id == context.job_id, Shard.stage_name == "features")
        paths = [path for path in session.scalars(of_stage.order_by(Shard.number)) if path]
        query = select(ProbeAccuracy).where(ProbeAccuracy.job_id == context.job_id)
        key = (ProbeAccuracy.depth, ProbeAccuracy.classifier, ProbeAccuracy.trial)
        rows = list(session.scalars(query.order_by(*key)))
    comparison = Comparison()
    for row in chance.sample(rows, min(1, len(rows))):
        stored = load_from(context, paths, row.depth - 1)
        _check_features(context, specification, comparison, stored, row.depth - 1, chance, sample)
        _check_probe(context, specification, comparison, row, stored)
    return comparison


def _check_features(
    context: JobContext,
    specification: ProbeSpecification,
    comparison: Comparison,
    stored: LayerFeatures,
    number: int,
    chance: random.Random,
    sample: int,
) -> None:
    chosen = sorted(chance.sample(range(len(stored.image_ids)), min(sample, len(stored.image_ids))))
    ids = [int(image_id) for image_id in stored.image_ids[chosen]]
    recomputed = _recomputed(context, specification, ids, number)
    for index, image_id in zip(chosen, ids, strict=True):
        name = f"image {image_id}, {specification.layers[number].layer}"
        if image_id not in recomputed:
            comparison.row(name, "the image can't be read")
            continue
        comparison.row(name)
        recorded, again = stored.features[index], recomputed[image_id]
        scale = float(np.abs(again).max())
        worst = int(np.abs(recorded - again).argmax())
        comparison.number(f"{name}, feature {worst}", float(recorded[worst]), float(again[worst]), scale)


def _recomputed(
    context: JobContext, specification: ProbeSpecification, ids: Sequence[int], number: int
) -> dict[int, np.ndarray]:
    """Return the features of a layer by image, without images that can't be read."""
    network = specification.network
    by_id = sources_by_id(context, ids)
    read = read_features(
        load_network(context, network, specification.weights_path),
        [specification.layers[number]],
        batches([by_id[image_id] for image_id in ids], BATCH, network.image_size, pad=True, skipped=[]),
        specification.pooling,
        context.device,
        mean=network.mean,
        std=network.std,
    )
    return {source.id: values for source, values in zip(read.sources, read.arrays[0], strict=True)}


def _check_probe(
    context: JobContext,
    specification: ProbeSpecification,
    comparison: Comparison,
    row: ProbeAccuracy,
    stored: LayerFeatures,
) -> None:
    with context.database.read() as session:
        images = probed_images(session, specification.dataset_id, specification.sampling)
    training, test = trial_rows(images, stored, row.trial)
    labels = stored_labels(images, stored)
    result = fit_probe(
        stored.features[training],
        labels[training],
        stored.features[test],
        labels[test],
        cast(Classifier, row.classifier),
        specification.sampling.trials[row.trial - 1].seed,
        shuffle_labels=specification.shuffle_labels,
    )
    name = f"{row.classifier} on {row.layer}, trial {row.trial}"
    comparison.row(name)
    for column, value in accuracies(result).items():
        recorded = getattr(row, column)
        if recorded is None or value is None:
            comparison.row(f"{name}, {column}", None if recorded == value else f"{recorded} and {value}")
        else:
            comparison.number(f"{name}, {column}", float(recorded), float(value))
