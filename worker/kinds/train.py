"""The training run: an epoch, a checkpoint, an epoch, until all are done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import torch
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from shared.models import Checkpoint, CheckpointKind, Epoch, Job, Phase, TrainingRun
from shared.specifications import TrainSpecification
from shared.store import StoredFile
from worker.kinds.common import build, keep, report_skipped, require_some, split_sources
from worker.runner import ShardContext
from worker.vision.curves import draw_curves
from worker.vision.images import ImageSource, Skipped, batches
from worker.vision.networks import initialise_he
from worker.vision.training import PhaseResult, Recipe, Trainer
from worker.vision.weights import weights_writer


@dataclass
class _Run:
    """A training run under way."""

    context: ShardContext
    specification: TrainSpecification
    trainer: Trainer
    skipped: set[int] = field(default_factory=set)  # images already reported

    @property
    def job_id(self) -> int:
        return self.context.claim.job_id


def train(context: ShardContext) -> None:
    """Train from the last checkpoint, or from the start."""
    specification = cast(TrainSpecification, context.specification)
    torch.manual_seed(specification.seed)
    model = build(specification.network)
    if specification.init == "he":
        initialise_he(model)
    recipe = Recipe(
        specification.learning_rate,
        specification.lr_step,
        specification.lr_gamma,
        specification.flip,
        specification.seed,
    )
    run = _Run(context, specification, Trainer(model, recipe, context.device))
    _resume(run)
    training = split_sources(context, specification.train_split)
    validation = split_sources(context, specification.val_split)
    while run.trainer.epoch < specification.epochs:
        learning_rate = run.trainer.learning_rate
        learned = run.trainer.train(_batches(run, run.trainer.order(training)), context.progress)
        checked = run.trainer.validate(_batches(run, validation), context.progress)
        _record_epoch(run, learned, checked, learning_rate)
    _finish(run)


def _batches(run: _Run, sources: list[ImageSource]) -> Any:
    """Batches of a phase; what could not be read is reported once a run."""
    skipped: list[Skipped] = []
    specification = run.specification
    yield from batches(sources, specification.batch_size, specification.network.image_size, skipped=skipped)
    require_some(run.context, len(skipped), len(sources))
    new = [item for item in skipped if item.source.id not in run.skipped]
    run.skipped.update(item.source.id for item in new)
    report_skipped(run.context, new)


def _resume(run: _Run) -> None:
    with run.context.database.read() as session:
        checkpoint = session.get(Checkpoint, (run.job_id, CheckpointKind.STATE))
    if checkpoint is None:
        return
    file = run.context.store.locate(checkpoint.path)
    run.trainer.load_state(torch.load(file, map_location="cpu", weights_only=True))
    images = run.specification.train_count + run.specification.val_count
    run.context.progress(run.trainer.epoch * images)
    run.context.log("info", f"goes on behind epoch {run.trainer.epoch}")


def _record_epoch(run: _Run, learned: PhaseResult, checked: PhaseResult, learning_rate: float) -> None:
    """Results and checkpoint of an epoch, in one transaction; then the checkpoint before it goes."""
    epoch, store = run.trainer.epoch, run.context.store
    # With the run's number no other run has the same file, and it can go when it is needed no more.
    state = {"run": run.job_id, **run.trainer.state()}
    files = {CheckpointKind.STATE: store.write(".pt", lambda file: torch.save(state, file))}
    weights = weights_writer(run.trainer.model.state_dict())
    with run.context.database.read() as session:
        before = session.get_one(TrainingRun, run.job_id).best_accuracy
    best = before is None or checked.accuracy > before
    if best:
        files[CheckpointKind.BEST] = store.write(".safetensors", weights)
    if epoch == run.specification.epochs:
        files[CheckpointKind.LAST] = store.write(".safetensors", weights)
    replaced: list[str] = []

    def write(session: Session) -> None:
        for phase, result in ((Phase.TRAIN, learned), (Phase.VAL, checked)):
            session.add(
                Epoch(
                    job_id=run.job_id,
                    epoch=epoch,
                    phase=phase,
                    loss=result.loss,
                    accuracy=result.accuracy,
                    learning_rate=learning_rate,
                    images=result.images,
                    seconds=result.seconds,
                )
            )
        if best:
            training_run = session.get_one(TrainingRun, run.job_id)
            training_run.best_epoch, training_run.best_accuracy = epoch, checked.accuracy
        for kind, file in files.items():
            replaced.extend(_keep_checkpoint(run.context, session, kind, epoch, file))

    run.context.record(write)
    for path in replaced:
        run.context.store.remove(path)
    run.context.log(
        "info",
        f"epoch {epoch}: train loss {learned.loss:.4f} accuracy {learned.accuracy:.4f}, "
        f"val loss {checked.loss:.4f} accuracy {checked.accuracy:.4f}, "
        f"{learned.images / learned.seconds:.1f} images/s",
    )


def _keep_checkpoint(
    context: ShardContext, session: Session, kind: CheckpointKind, epoch: int, file: StoredFile
) -> list[str]:
    """Point the run's checkpoint of this kind to ``file``; returns what can be removed: the state before."""
    job_id = context.claim.job_id
    checkpoint = session.get(Checkpoint, (job_id, kind)) or Checkpoint(job_id=job_id, kind=kind)
    before = checkpoint.path
    checkpoint.epoch, checkpoint.path = epoch, file.path
    checkpoint.sha256, checkpoint.bytes = file.sha256, file.bytes
    session.add(checkpoint)
    session.flush()
    if kind != CheckpointKind.STATE:
        keep(context, session, [file])
        return []
    context.store.settle([file.path])
    return [before] if before and before != file.path else []


def _finish(run: _Run) -> None:
    """The curves; the run's state is needed no more, best and last weights stay."""
    with run.context.database.read() as session:
        epochs = session.scalars(select(Epoch).where(Epoch.job_id == run.job_id).order_by(Epoch.epoch)).all()
        state = session.get(Checkpoint, (run.job_id, CheckpointKind.STATE))
        summary = session.get_one(TrainingRun, run.job_id)
    phases = {phase.value: [(e.epoch, e.loss, e.accuracy) for e in epochs if e.phase == phase] for phase in Phase}
    curves = run.context.store.put(
        draw_curves(f"{run.specification.network.name}, training run {run.job_id}", phases), ".png"
    )

    def write(session: Session) -> None:
        keep(run.context, session, [curves])
        session.get_one(TrainingRun, run.job_id).curves_path = curves.path
        session.execute(
            delete(Checkpoint).where(Checkpoint.job_id == run.job_id, Checkpoint.kind == CheckpointKind.STATE)
        )
        session.get_one(Job, run.job_id).summary = {
            "best_epoch": summary.best_epoch,
            "best_accuracy": summary.best_accuracy,
            "epochs": run.specification.epochs,
            "images_left_out": len(run.skipped),
        }

    run.context.complete(write)
    if state:
        run.context.store.remove(state.path)
