"""Stage *train* of a training run: trains epoch by epoch, and saves the run's state between epochs."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from sqlalchemy import delete, select
from sqlalchemy.orm import Session
from torch import nn

from shared.database.catalogue import find_checkpoint
from shared.database.datasets import Dataset, Image
from shared.database.networks import Checkpoint, CheckpointKind, TrainingRun
from shared.errors import IncompatibleVersion
from shared.jobs.tables import Job, LeftOutImage
from shared.kinds.train.specification import TrainSpecification
from shared.kinds.train.tables import Answer, Epoch, Phase
from shared.text import one_line
from unitscope.data.images import Batch, ImageSource, Skipped, batches
from unitscope.data.pixel_cache import PixelCache
from unitscope.drawing.charts import draw_confusion, draw_filters, filter_summary
from unitscope.drawing.curves import draw_curves, phase_curves
from unitscope.networks.checkpoints import read_safetensors
from unitscope.networks.initialization import initialize
from unitscope.networks.weights import load_pretrained
from unitscope.training.loop import IncompatibleState, Trainer
from worker.kinds.common import (
    clear_network_cache,
    pixel_cache,
    register_artifacts,
    report_skipped,
    require_some,
    summarize_left_out,
    warn_of_memory,
)
from worker.kinds.train.environment import environment
from worker.kinds.train.events import TensorBoard
from worker.kinds.train.images import images_of
from worker.kinds.train.saving import EpochSaver, class_name
from worker.networks.build import build
from worker.runner import Paused, ShardContext

LONGEST_REASON = 300  # characters: PyTorch lists every tensor that doesn't match


@dataclass
class _Run:
    """The state of a training run in progress."""

    context: ShardContext
    specification: TrainSpecification
    trainer: Trainer
    cache: PixelCache | None
    epochs: EpochSaver

    @property
    def job_id(self) -> int:
        return self.context.claim.job_id


def train(context: ShardContext) -> None:
    """Train from the last saved state, or from the beginning."""
    specification = cast(TrainSpecification, context.specification)
    clear_network_cache()
    trainer = Trainer(
        _initial_model(context, specification),
        specification.recipe,
        specification.seed,
        context.device,
        mean=specification.network.mean,
        std=specification.network.std,
        on_smaller=warn_of_memory(context, "images per pass, accumulating a batch's gradients"),
    )
    cache = pixel_cache(context, specification.network.image_size)
    board = TensorBoard(context.store, context.claim.job_id, enabled=specification.tensorboard)
    epochs = EpochSaver(context, specification, trainer, board, _class_names(context))
    run = _Run(context, specification, trainer, cache, epochs)
    _resume(run)
    _record_environment(run)  # the state determines the form of the optimizer's step
    training, validation = images_of(context, specification)
    while trainer.epoch < specification.recipe.epochs:
        learning_rate = trainer.learning_rate
        learned = trainer.train(_batches(run, trainer.order(training)), context.progress)
        checked = trainer.validate(_batches(run, validation), context.progress)
        trainer.end_epoch(checked)
        run.epochs.add(learned, checked, learning_rate)
        if trainer.epoch < specification.recipe.epochs:
            try:
                context.pause_if_others_wait()
            except Paused:
                run.epochs.save()
                raise
    _finish(run)


def _initial_model(context: ShardContext, specification: TrainSpecification) -> nn.Module:
    torch.manual_seed(specification.seed)
    model = build(context, specification.network)
    initialize(model, specification.recipe.init)
    if specification.weights_path:
        file = context.store.verified(specification.weights_path)
        weights = read_safetensors(file)
        missing = load_pretrained(model, weights, specification.network.name, file, headless=True)
        context.log("info", f"initial weights loaded; randomly initialized: {', '.join(missing) or 'none'}")
    return model


def _record_environment(run: _Run) -> None:
    values = environment(run.context.device, run.trainer)

    def write(session: Session) -> None:
        session.get_one(TrainingRun, run.job_id).environment = values

    run.context.record(write)


def _batches(run: _Run, sources: list[ImageSource]) -> Iterator[Batch]:
    """Yield the batches of a phase."""
    skipped: list[Skipped] = []
    recipe, size = run.specification.recipe, run.specification.network.image_size
    yield from batches(sources, recipe.batch_size, size, skipped=skipped, cache=run.cache)
    if len(skipped) >= len(sources):
        report_skipped(run.context, skipped)
    require_some(run.context, len(skipped), len(sources))
    run.epochs.skipped += skipped


# --- resuming ---


def _resume(run: _Run) -> None:
    """Load this run's last saved state, else that of the run that it extends, if any.

    Raises
    ------
    IncompatibleVersion
    """
    with run.context.database.read() as session:
        own = find_checkpoint(session, run.job_id, CheckpointKind.STATE)
    path = own.path if own else run.specification.extended_path
    if path is None:
        return
    file = run.context.store.verified(path)  # intact, so an error below means another version wrote it
    try:
        run.trainer.load_state(torch.load(file, map_location="cpu", weights_only=True))
    except (pickle.UnpicklingError, IncompatibleState) as error:
        raise IncompatibleVersion(path=path, reason=one_line(str(error), LONGEST_REASON)) from error
    if own is None:
        _copy_extended_epochs(run)
    images = run.specification.train_count + run.specification.val_count
    run.context.resume((run.trainer.epoch - run.specification.extended_epochs) * images)
    run.context.log("info", f"resumed after epoch {run.trainer.epoch}")


def _copy_extended_epochs(run: _Run) -> None:
    """Copy the extended run's epochs, confusion matrix and best and kept checkpoints, so that this run's results
    cover all epochs."""
    source, job_id = run.specification.extended_job_id, run.job_id

    def write(session: Session) -> None:
        for table in (Epoch, Checkpoint, Answer):
            session.execute(delete(table).where(table.job_id == job_id))
            columns = [column.name for column in table.__table__.columns if column.name != "job_id"]
            query = select(table).where(table.job_id == source)
            if table is Checkpoint:
                query = query.where(Checkpoint.kind.in_((CheckpointKind.BEST, CheckpointKind.EPOCH)))
            for row in session.scalars(query).all():
                session.add(table(job_id=job_id, **{name: getattr(row, name) for name in columns}))
        extended = session.get_one(TrainingRun, source)
        own = session.get_one(TrainingRun, job_id)
        own.best_epoch, own.best_accuracy = extended.best_epoch, extended.best_accuracy
        _copy_left_out(session, source, run)

    run.context.record(write)


def _copy_left_out(session: Session, extended_job_id: int | None, run: _Run) -> None:
    """Copy which images the extended run left out, in place of those of an earlier attempt."""
    session.execute(delete(LeftOutImage).where(LeftOutImage.job_id == run.job_id))
    of_dataset = Image.dataset_id == run.specification.dataset_id
    query = select(LeftOutImage).join(Image, Image.id == LeftOutImage.image_id).where(of_dataset)
    for row in session.scalars(query.where(LeftOutImage.job_id == extended_job_id)).all():
        session.add(
            LeftOutImage(
                job_id=run.job_id, image_id=row.image_id, stage=row.stage, reason=row.reason, worker=row.worker
            )
        )


# --- the end of the run ---


def _finish(run: _Run) -> None:
    """Draw the pictures and write the summary. The run's state is kept, so that `--extend` can resume from it."""
    job_id, specification, store = run.job_id, run.specification, run.context.store
    with run.context.database.read() as session:
        epochs = session.scalars(select(Epoch).where(Epoch.job_id == job_id).order_by(Epoch.epoch)).all()
        answers = session.scalars(select(Answer).where(Answer.job_id == job_id)).all()
        summary = session.get_one(TrainingRun, job_id)
        best_epoch = next(e for e in epochs if (e.epoch, e.phase) == (summary.best_epoch, Phase.VAL))
        best = find_checkpoint(session, job_id, CheckpointKind.BEST)
    assert best is not None  # noqa: S101 - every run has a best epoch after its first one
    name = f"{specification.network.name}, training run {job_id}"
    curves = store.put(draw_curves(name, {f"run {job_id}": phase_curves(epochs)}), ".png")
    pairs = torch.tensor([(a.true_index, a.answer_index, a.images) for a in answers]).reshape(-1, 3)
    classes = [class_name(run.epochs.class_names, index) for index in range(specification.network.classes)]
    accuracy = summary.best_accuracy or 0.0
    title = f"{name}, epoch {summary.best_epoch}: {accuracy:.1%} of {specification.val_split} right"
    confusion = store.put(draw_confusion(title, classes, pairs.numpy()), ".png")
    first = _first_filters(run.trainer.model, read_safetensors(store.verified(best.path)))
    filters = store.put(draw_filters(f"{name}, first layer", first), ".png") if first is not None else None

    def write(session: Session) -> None:
        register_artifacts(run.context, session, [file for file in (curves, confusion, filters) if file])
        training_run = session.get_one(TrainingRun, job_id)
        training_run.curves_path, training_run.confusion_path = curves.path, confusion.path
        training_run.filters_path = filters.path if filters else None
        session.get_one(Job, job_id).summary = {
            "best_epoch": summary.best_epoch,
            "best_accuracy": summary.best_accuracy,
            "class_accuracy": best_epoch.class_accuracy,
            "epochs": specification.recipe.epochs,
            **summarize_left_out(run.context, session),
            "first_layer": filter_summary(first) if first is not None else None,
        }

    run.context.complete(write)


def _class_names(context: ShardContext) -> list[str]:
    with context.database.read() as session:
        return list(session.get_one(Dataset, context.specification.dataset_id).class_names)


def _first_filters(model: nn.Module, weights: dict[str, torch.Tensor]) -> torch.Tensor | None:
    """Return the first convolution's weights [N, 3, h, w], or None if its input doesn't have 3 channels."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            filters = weights[f"{name}.weight"]
            return filters if filters.shape[1] == 3 else None
    return None
