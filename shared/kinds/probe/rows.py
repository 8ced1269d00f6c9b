"""Means of a probe job's accuracies over its trials."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.kinds.probe.tables import ProbeAccuracy


@dataclass(frozen=True)
class ProbeMean:
    """Accuracies of a classifier on a layer: mean and standard deviation over the trials (None for one trial)."""

    depth: int
    layer: str
    layer_path: str
    classifier: str
    features: int
    grid: str | None  # "8 x 8": rows and columns to which maps were pooled
    trials: int
    train_images: float
    test_images: float
    classes: int
    class_accuracy: float
    class_accuracy_sd: float | None
    accuracy: float
    accuracy_sd: float | None
    chance: float
    majority: float


def means_by_layer(session: Session, job_id: int, layer: str | None = None) -> list[ProbeMean]:
    """Return the means of each layer and classifier, by depth, and svm before softmax."""
    query = select(ProbeAccuracy).where(ProbeAccuracy.job_id == job_id)
    if layer is not None:
        query = query.where(ProbeAccuracy.layer_path == layer)
    order = (ProbeAccuracy.depth, ProbeAccuracy.classifier.desc(), ProbeAccuracy.trial)
    rows = session.scalars(query.order_by(*order))
    return [_mean(list(group)) for _, group in groupby(rows, key=lambda row: (row.depth, row.classifier))]


def _mean(rows: Sequence[ProbeAccuracy]) -> ProbeMean:
    first = rows[0]
    by_class, plain = ([getattr(row, name) for row in rows] for name in ("class_accuracy", "accuracy"))
    return ProbeMean(
        depth=first.depth,
        layer=first.layer,
        layer_path=first.layer_path,
        classifier=first.classifier,
        features=first.features,
        grid=None if first.grid_rows is None else f"{first.grid_rows} x {first.grid_cols}",
        trials=len(rows),
        train_images=statistics.fmean(row.train_images for row in rows),
        test_images=statistics.fmean(row.test_images for row in rows),
        classes=max(row.classes for row in rows),
        class_accuracy=statistics.fmean(by_class),
        class_accuracy_sd=statistics.stdev(by_class) if len(rows) > 1 else None,
        accuracy=statistics.fmean(plain),
        accuracy_sd=statistics.stdev(plain) if len(rows) > 1 else None,
        chance=statistics.fmean(row.chance for row in rows),
        majority=statistics.fmean(row.majority for row in rows),
    )
