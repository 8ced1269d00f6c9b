"""What the epochs of a training run bring: their rows, the run's state, and its best and kept weights."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO, Any

import torch
from sqlalchemy import delete
from sqlalchemy.orm import Session

from shared.database.catalogue import find_checkpoint
from shared.database.networks import Checkpoint, CheckpointKind, TrainingRun
from shared.jobs.files import add_stored_bytes
from shared.kinds.train.specification import TrainSpecification
from shared.kinds.train.tables import Answer, Epoch, Phase
from shared.store.store import StoredFile
from unitscope.data.images import Skipped
from unitscope.networks.weights import weights_writer
from unitscope.training.loop import PhaseResult, Trainer
from worker.kinds.common import record_left_out, register_artifacts
from worker.kinds.train.events import TensorBoard
from worker.runner import ShardContext

# On a GPU an epoch of a small data set takes 0.3 s, and to write, hash and sync a state of 400 MB takes 3 s.
QUICK = 1.0  # seconds; a save that takes less is made after each epoch
LARGEST_SHARE = 0.05  # of the time, for saves that take longer
LONGEST_UNSAVED = 600.0  # seconds; a save that waited for a store or a database doesn't put off the next for long


@dataclass(frozen=True)
class _Epoch:
    """The results of an epoch."""

    number: int
    learned: PhaseResult
    checked: PhaseResult
    learning_rate: float


@dataclass
class EpochSaver:
    """Saves epochs: their rows, the run's state, and its checkpoints, in one transaction.

    The rows of the database never go beyond the saved state, from which a run resumes. If saving takes long
    compared with an epoch, several epochs are saved together; a run that is killed repeats those that were not
    saved, with the same result.
    """

    context: ShardContext
    specification: TrainSpecification
    trainer: Trainer
    board: TensorBoard
    class_names: list[str]
    skipped: list[Skipped] = field(default_factory=list)  # images that were left out since the last save
    _epochs: list[_Epoch] = field(default_factory=list)
    _kept: dict[int, StoredFile] = field(default_factory=dict)  # epoch: its weights
    _best: tuple[_Epoch, dict[str, torch.Tensor]] | None = None
    _saved: float = 0.0  # when the last save ended
    _save_seconds: float = 0.0  # how long it took

    def add(self, learned: PhaseResult, checked: PhaseResult, learning_rate: float) -> None:
        """Add the epoch that has ended, and save if it is time to, or the run's last epoch."""
        epoch = _Epoch(self.trainer.epoch, learned, checked, learning_rate)
        self._epochs.append(epoch)
        self.context.log(
            "info",
            f"epoch {epoch.number}: train loss {learned.loss:.4f} accuracy {learned.accuracy:.4f}, "
            f"val loss {checked.loss:.4f} accuracy {checked.accuracy:.4f}, "
            f"{learned.images / learned.seconds:.1f} images/s",
        )
        is_last = epoch.number == self.specification.recipe.epochs
        saves_now = is_last or self._is_time()
        if self._is_best(epoch):
            weights = self.trainer.model.state_dict()
            self._best = epoch, weights if saves_now else {name: _copied(value) for name, value in weights.items()}
        if epoch.number in self.specification.keep_epochs:
            self._kept[epoch.number] = self._write_weights(self.trainer.model.state_dict())
        if saves_now:
            self.save()

    def save(self) -> None:
        """Save the epochs since the last save, if any. Call it between two epochs only."""
        if not self._epochs:
            return
        began = time.monotonic()
        epochs, kept, best, store = self._epochs, self._kept, self._best, self.context.store
        last, written = epochs[-1].number, dict(kept)

        def file_of(number: int, weights: dict[str, torch.Tensor]) -> StoredFile:
            if number not in written:
                written[number] = self._write_weights(weights)
            return written[number]

        # The job's id makes the file unique to this run, so that it can be removed when it is replaced.
        state = {"run": self.context.claim.job_id, **self.trainer.state()}
        files = [(CheckpointKind.STATE, last, store.write(".pt", lambda file: _save(state, file)))]
        files += [(CheckpointKind.EPOCH, number, file) for number, file in kept.items()]
        if best is not None:
            files.append((CheckpointKind.BEST, best[0].number, file_of(best[0].number, best[1])))
        if last == self.specification.recipe.epochs:
            files.append((CheckpointKind.LAST, last, file_of(last, self.trainer.model.state_dict())))
        # An image can be in both splits, and is left out in each epoch.
        skipped = list({item.source.id: item for item in self.skipped}.values())
        replaced: list[str] = []

        def write(session: Session) -> None:
            replaced.clear()
            record_left_out(self.context, session, (), skipped)
            session.add_all(row for epoch in epochs for row in self._rows(epoch))
            if best is not None:
                self._record_best(session, best[0])
            for kind, number, file in files:
                replaced.extend(_record_checkpoint(self.context, session, kind, number, file))

        self.context.record(write, locks_job=True)
        for path in replaced:
            store.remove(path)
        for epoch in epochs:
            self.board.epoch(epoch.number, epoch.learned, epoch.checked, epoch.learning_rate)
        self._epochs, self._kept, self._best = [], {}, None
        self.skipped.clear()
        self._saved = time.monotonic()
        self._save_seconds = self._saved - began

    def _is_time(self) -> bool:
        since_last = time.monotonic() - self._saved
        return self._save_seconds <= max(QUICK, LARGEST_SHARE * since_last) or since_last > LONGEST_UNSAVED

    def _is_best(self, epoch: _Epoch) -> bool:
        if self._best is not None:
            return epoch.checked.accuracy > self._best[0].checked.accuracy
        with self.context.database.read() as session:
            best = session.get_one(TrainingRun, self.context.claim.job_id).best_accuracy
        return best is None or epoch.checked.accuracy > best

    def _write_weights(self, weights: dict[str, torch.Tensor]) -> StoredFile:
        return self.context.store.write(".safetensors", weights_writer(weights))

    def _rows(self, epoch: _Epoch) -> list[Epoch]:
        phases = ((Phase.TRAIN, epoch.learned), (Phase.VAL, epoch.checked))
        return [
            Epoch(
                job_id=self.context.claim.job_id,
                epoch=epoch.number,
                phase=phase,
                loss=result.loss,
                accuracy=result.accuracy,
                top5_accuracy=result.top5,
                class_accuracy=result.class_accuracy,
                gradient_norm=result.gradient_norm,
                learning_rate=epoch.learning_rate,
                images=result.images,
                seconds=result.seconds,
            )
            for phase, result in phases
        ]

    def _record_best(self, session: Session, epoch: _Epoch) -> None:
        job_id, answers = self.context.claim.job_id, epoch.checked.answers
        assert answers is not None  # noqa: S101 - validation always counts them
        training_run = session.get_one(TrainingRun, job_id)
        training_run.best_epoch, training_run.best_accuracy = epoch.number, epoch.checked.accuracy
        session.execute(delete(Answer).where(Answer.job_id == job_id))
        session.add_all(
            Answer(
                job_id=job_id,
                true_index=true,
                answer_index=answer,
                true_class=class_name(self.class_names, true),
                answer_class=class_name(self.class_names, answer),
                images=images,
            )
            for true, answer, images in answers.tolist()
        )


def class_name(class_names: Sequence[str], index: int) -> str:
    """Return a class's name, or its index if the network has more classes than the data set."""
    return class_names[index] if index < len(class_names) else str(index)


def _copied(weights: torch.Tensor) -> torch.Tensor:
    return weights.detach().to("cpu", copy=True)


def _save(state: dict[str, Any], file: IO[bytes]) -> None:
    try:
        torch.save(state, file)
    except RuntimeError as error:  # torch reports a truncated file and hides the operating system's error
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def _record_checkpoint(
    context: ShardContext, session: Session, kind: CheckpointKind, epoch: int, file: StoredFile
) -> list[str]:
    """Record a checkpoint, replacing the previous one of its kind unless it is one of several epochs'. Return the
    paths of files that can be removed from the store: the previous state's."""
    job_id = context.claim.job_id
    replaced: list[str] = []
    if kind == CheckpointKind.STATE:
        context.store.make_durable([file.path])
        previous = find_checkpoint(session, job_id, kind)
        replaced = [previous.path] if previous and previous.path != file.path else []
        # It has no row in ``artifacts``, since the next one replaces it.
        add_stored_bytes(session, {job_id: file.bytes - (previous.bytes if previous else 0)})
    else:
        register_artifacts(context, session, [file])
    if kind != CheckpointKind.EPOCH:
        session.execute(delete(Checkpoint).where(Checkpoint.job_id == job_id, Checkpoint.kind == kind))
    session.add(
        Checkpoint(job_id=job_id, kind=kind, epoch=epoch, path=file.path, sha256=file.sha256, bytes=file.bytes)
    )
    session.flush()
    return replaced
