"""Stage *finish* of a probe job: the curve of accuracy against depth, and the summary."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.database.datasets import Dataset
from shared.jobs.left_out import LEFT_OUT
from shared.jobs.tables import Job, LeftOutImage
from shared.kinds.probe.rows import ProbeMean, means_by_layer
from shared.kinds.probe.specification import ProbeSpecification
from shared.kinds.probe.tables import ProbeAccuracy, ProbeJob
from unitscope.drawing.probing import ProbePoint, draw_probes
from worker.kinds.common import register_artifacts, summarize_left_out
from worker.runner import ShardContext


def finish(context: ShardContext) -> None:
    """Draw the curve, and write the job's summary."""
    specification = cast(ProbeSpecification, context.specification)
    of_job = ProbeAccuracy.job_id == context.claim.job_id
    with context.database.read() as session:
        means = means_by_layer(session, context.claim.job_id)
        unconverged = select(func.count()).select_from(ProbeAccuracy).where(of_job, ~ProbeAccuracy.converged)
        not_converged = session.scalar(unconverged) or 0
        dataset = session.get_one(Dataset, specification.dataset_id).name
    curve = context.store.put(draw_probes(figure_title(specification, dataset), points(means)), ".png")

    def write(session: Session) -> None:
        register_artifacts(context, session, [curve])
        session.merge(ProbeJob(job_id=context.claim.job_id, curve_path=curve.path))
        left_out = summarize_left_out(context, session)
        count = session.scalar(
            select(func.count()).select_from(LeftOutImage).where(LeftOutImage.job_id == context.claim.job_id)
        )
        summary = _summary(specification, means, not_converged)
        summary |= {**left_out, LEFT_OUT: count or 0, "images": specification.image_count - (count or 0)}
        session.get_one(Job, context.claim.job_id).summary = summary

    context.complete(write)


def figure_title(specification: ProbeSpecification, dataset: str) -> str:
    """Return the title of the curve: network, data set, and the images of a trial."""
    sampling = specification.sampling
    training = f"{sampling.per_class} training images a class" if sampling.per_class else "all training images"
    trials = f"{sampling.folds} folds" if sampling.folds else f"{sampling.repeats} seeds"
    shuffled = ", shuffled labels" if specification.shuffle_labels else ""
    several = f", {trials}" if len(sampling.trials) > 1 else ""
    return f"{specification.network.name} on {dataset}: linear probes by layer, {training}{several}{shuffled}"


def points(means: list[ProbeMean]) -> list[ProbePoint]:
    """Return the points of the curves."""
    return [
        ProbePoint(mean.classifier, mean.layer, mean.class_accuracy, mean.class_accuracy_sd, mean.chance)
        for mean in means
    ]


def _summary(specification: ProbeSpecification, means: list[ProbeMean], not_converged: int) -> dict[str, Any]:
    best = max(means, key=lambda mean: mean.class_accuracy)
    return {
        "layers": len(specification.layers),
        "trials": len(specification.sampling.trials),
        "classes": best.classes,
        "chance": best.chance,
        "best_layer": best.layer,
        "best_classifier": best.classifier,
        "best_class_accuracy": best.class_accuracy,
        "best_accuracy": best.accuracy,
        "not_converged": not_converged,
        "dtype": "float32",
    }
