"""The list of training runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from producer.gallery.page import Gallery, Parameters
from producer.kinds.train.gallery.found import specification_of
from shared.database.datasets import Dataset
from shared.database.networks import TrainingRun
from shared.jobs.tables import Job, JobState
from shared.kinds.train.tables import Epoch, Phase

RUNS = 50  # of a page
ORDERS = ("newest", "accuracy")
STATES = ("all", *(state.value for state in JobState))
NO_ACCURACY = -1.0  # of runs without one, which come last


def read_runs(gallery: Gallery, parameters: Parameters) -> dict[str, Any]:
    """Read the page ``/runs``.

    Raises
    ------
    UsageError
    """
    order, state = parameters.choice("order", ORDERS), parameters.choice("state", STATES)
    network, dataset, recipe = (parameters.text(name) for name in ("network", "dataset", "recipe"))
    accuracy = func.coalesce(TrainingRun.best_accuracy, NO_ACCURACY)
    recipe_name = Job.specification["recipe_name"].as_string()
    query = (
        select(Job, TrainingRun, Dataset.name)
        .join(TrainingRun, TrainingRun.job_id == Job.id)
        .join(Dataset, Dataset.id == TrainingRun.dataset_id)
        .where(
            *([Job.state == state] if state != STATES[0] else []),
            *([TrainingRun.network == network] if network else []),
            *([Dataset.name == dataset] if dataset else []),
            *([recipe_name == recipe] if recipe else []),
        )
    )
    after = parameters.after()
    if order == "accuracy":
        query = query.order_by(accuracy.desc(), Job.id.desc())
        if after:
            query = query.where(or_(accuracy < after[0], and_(accuracy == after[0], Job.id < after[1])))
    else:
        query = query.order_by(Job.id.desc())
        if after:
            query = query.where(Job.id < after[1])
    with gallery.database.read() as session:
        rows = session.execute(query.limit(RUNS + 1)).all()
        trained = _trained_epochs(session, [job.id for job, *_ in rows[:RUNS]])
        networks = session.scalars(select(TrainingRun.network).distinct().order_by(TrainingRun.network)).all()
        used = select(Dataset.name).join(TrainingRun, TrainingRun.dataset_id == Dataset.id)
        datasets = session.scalars(used.distinct().order_by(Dataset.name)).all()
        of_runs = select(recipe_name).join(TrainingRun, TrainingRun.job_id == Job.id)
        recipes = [name for name in session.scalars(of_runs.distinct()) if name]
    runs = [_row(job, run, name, trained.get(job.id, 0)) for job, run, name in rows[:RUNS]]
    last = runs[-1] if len(rows) > RUNS else None
    shown = NO_ACCURACY if last is None or last["best_accuracy"] is None else last["best_accuracy"]
    return {
        "title": "Training runs",
        "runs": runs,
        "networks": list(networks),
        "datasets": list(datasets),
        "recipes": sorted(recipes),
        "states": STATES,
        "order": order,
        "state": state,
        "network": network,
        "dataset": dataset,
        "recipe": recipe,
        "next": parameters.link(after=f"{shown!r},{last['job_id']}") if last else None,
        "first": parameters.link(after=None) if after else None,
    }


def _row(job: Job, run: TrainingRun, dataset: str, epochs: int) -> dict[str, Any]:
    specification = specification_of(job)
    return {
        "job_id": job.id,
        "network": run.network,
        "dataset": dataset,
        "recipe": specification.recipe_name if specification else None,
        "state": job.state,
        "epochs": epochs,
        "planned_epochs": run.epochs,
        "best_accuracy": run.best_accuracy,
        "best_epoch": run.best_epoch,
        "created_at": job.created_at,
    }


def _trained_epochs(session: Session, job_ids: Sequence[int]) -> dict[int, int]:
    """Return the number of the last epoch of each run that is validated."""
    query = select(Epoch.job_id, func.max(Epoch.epoch)).where(Epoch.job_id.in_(job_ids), Epoch.phase == Phase.VAL)
    return dict(session.execute(query.group_by(Epoch.job_id)).all())
