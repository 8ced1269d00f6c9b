"""Section of a probe job on the page of a study: accuracy by layer."""

from __future__ import annotations

from itertools import pairwise

from sqlalchemy import select

from producer.results.pages import inline, load_report
from producer.results.sections import Finding, Picture, Section, percent
from shared.database.connection import Database
from shared.kinds.probe.rows import ProbeMean, means_by_layer
from shared.kinds.probe.tables import ProbeJob
from shared.store.store import Store


def section(database: Database, store: Store, job_id: int) -> Section:
    """Return the section of a job that is done.

    Raises
    ------
    NoSuchJob, JobStateConflict, ArtifactMissing
    """
    with database.read() as session:
        report = load_report(session, job_id)
        curve = session.scalar(select(ProbeJob.curve_path).where(ProbeJob.job_id == job_id))
        means = means_by_layer(session, job_id)
    by_layer: dict[str, list[ProbeMean]] = {}
    for mean in means:
        by_layer.setdefault(mean.layer, []).append(mean)
    measures = {
        layer: "; ".join(f"{mean.classifier} {_accuracy(mean)}" for mean in listed)
        for layer, listed in by_layer.items()
    }
    if means:
        measures["chance"] = percent(means[0].chance)
        measures["training images, test images"] = f"{means[0].train_images:.0f}, {means[0].test_images:.0f}"
    best = {layer: max(mean.class_accuracy for mean in listed) for layer, listed in by_layer.items()}
    pictures = [Picture(inline(store, curve))] if curve else []
    return Section(report.summary.get("images"), measures, pictures, finding(best))


def _accuracy(mean: ProbeMean) -> str:
    deviation = f" ± {100 * mean.class_accuracy_sd:.1f}" if mean.class_accuracy_sd is not None else ""
    return f"{100 * mean.class_accuracy:.1f}{deviation} %"


def finding(best: dict[str, float]) -> Finding | None:
    """Decide by the better classifier of each layer: the last layer is above the first, and most steps go up."""
    if len(best) < 2:
        return None
    (first, low), *_, (last, high) = best.items()
    steps = [later > earlier for earlier, later in pairwise(best.values())]
    reason = f"{first} {percent(low)}, {last} {percent(high)}; {sum(steps)} of {len(steps)} steps go up"
    return Finding(high > low and sum(steps) > len(steps) / 2, reason)
