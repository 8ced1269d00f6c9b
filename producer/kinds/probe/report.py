"""HTML page of a probe job: the curve, and accuracies by layer beside the paper's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import exists, select

from producer.results.filters import EVERYTHING, Filters
from producer.results.pages import inline, load_report, page_template
from shared.database.connection import Database
from shared.kinds.probe.rows import ProbeMean, means_by_layer
from shared.kinds.probe.tables import ProbeAccuracy, ProbeJob
from shared.store.store import Store

# Networks whose layers correspond to the paper's.
EIGHT_LAYERS = {"zfnet", "zfnet-paper", "zfnet-wide", "alexnet"}
# Reported accuracies in percent, by layer: linear classifiers on the features of a network that was trained on
# ImageNet, Caltech-101 (Zeiler & Fergus 2013, Table 7).
REPORTED = {"conv1": 44.8, "conv2": 66.2, "conv3": 72.3, "conv4": 76.6, "conv5": 86.2, "fc7": 85.5}


def render(database: Database, store: Store, job_id: int, filters: Filters = EVERYTHING) -> str:
    """Render the page of a probe job, as far as it has come.

    Raises
    ------
    NoSuchJob, JobStateConflict, ArtifactMissing
    """
    fitted = select(exists().where(ProbeAccuracy.job_id == job_id))
    with database.read() as session:
        report = load_report(session, job_id, lambda session: bool(session.scalar(fitted)))
        curve = session.scalar(select(ProbeJob.curve_path).where(ProbeJob.job_id == job_id))
        means = means_by_layer(session, job_id)
    reported = REPORTED if report.specification.network.name in EIGHT_LAYERS else {}
    layers = _by_layer(means, reported)
    return page_template("kinds/probe/page.html.j2").render(
        **vars(report),
        curve=inline(store, curve),
        layers=layers,
        classifiers=report.specification.classifiers,
        reported=any(layer["reported"] is not None for layer in layers),
    )


def _by_layer(means: list[ProbeMean], reported: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return a row for each layer, with the means of each classifier by name, and the reported accuracy."""
    rows: dict[int, dict[str, Any]] = {}
    for mean in means:
        row = rows.setdefault(mean.depth, {"layer": mean, "means": {}, "reported": reported.get(mean.layer)})
        row["means"][mean.classifier] = mean
    return [rows[depth] for depth in sorted(rows)]
