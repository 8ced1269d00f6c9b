"""Networks, and what training runs leave."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from shared.models.base import ArtifactPath, Base, Sha256, one_of


class Phase(StrEnum):
    TRAIN = "train"
    VAL = "val"


class CheckpointKind(StrEnum):
    STATE = "state"  # all that a run needs to go on
    BEST = "best"  # weights of the best validation accuracy
    LAST = "last"  # weights of the last epoch
    EPOCH = "epoch"  # weights of an epoch that is kept


class Network(Base):
    """The description of a network, worked out once: see ``shared.networks``."""

    __tablename__ = "networks"

    key: Mapped[str] = mapped_column(Sha256, primary_key=True)
    name: Mapped[str]
    description: Mapped[dict[str, Any]]


class TrainingRun(Base):
    """A training job's network and what came of it."""

    __tablename__ = "training_runs"

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id"), index=True)
    network_key: Mapped[str] = mapped_column(ForeignKey("networks.key"))
    network: Mapped[str]
    epochs: Mapped[int]
    best_epoch: Mapped[int | None]
    best_accuracy: Mapped[float | None]
    curves_path: Mapped[ArtifactPath | None]
    confusion_path: Mapped[ArtifactPath | None]  # picture of the confusion matrix at the best epoch
    filters_path: Mapped[ArtifactPath | None]  # picture of the first layer's filters
    environment: Mapped[dict[str, Any] | None]  # device and versions of the libraries it ran with


class Epoch(Base):
    """One pass over a split in a training run."""

    __tablename__ = "epochs"
    __table_args__ = (one_of("phase", Phase),)

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)  # from 1
    phase: Mapped[str] = mapped_column(String(8), primary_key=True)
    loss: Mapped[float]
    accuracy: Mapped[float]  # 0 to 1
    top5_accuracy: Mapped[float | None]  # the right class is among the five most probable
    gradient_norm: Mapped[float | None]  # mean over the steps; NULL where nothing was learned
    learning_rate: Mapped[float]
    images: Mapped[int]
    seconds: Mapped[float]


class Checkpoint(Base):
    """What a training run keeps on disk."""

    __tablename__ = "checkpoints"
    __table_args__ = (one_of("kind", CheckpointKind),)

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(8), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)  # of state, best and last there is one
    path: Mapped[ArtifactPath]
    sha256: Mapped[str] = mapped_column(Sha256)
    bytes: Mapped[int]


class Answer(Base):
    """How often images of a class were taken for another, at a run's best epoch: read it through the view
    ``confusion_matrix``. Pairs that don't occur have no row."""

    __tablename__ = "answers"
    __table_args__ = (CheckConstraint("images > 0", name="images"),)

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    true_index: Mapped[int] = mapped_column(primary_key=True)
    answer_index: Mapped[int] = mapped_column(primary_key=True)
    true_class: Mapped[str]
    answer_class: Mapped[str]
    images: Mapped[int]
