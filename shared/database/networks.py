"""Tables of networks, training runs and checkpoints, which any kind of job may refer to."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.base import ArtifactPath, Base, Sha256, one_of
from shared.database.datasets import Dataset
from shared.jobs.tables import Job


class CheckpointKind(StrEnum):
    STATE = "state"  # the full training state, to resume from
    BEST = "best"  # weights with the best validation accuracy
    LAST = "last"  # weights after the last epoch
    EPOCH = "epoch"  # weights after one of ``keep_epochs``


class Network(Base):
    """The stored description of a network (``unitscope.description``)."""

    __tablename__ = "networks"

    key: Mapped[str] = mapped_column(Sha256, primary_key=True)
    name: Mapped[str]
    description: Mapped[dict[str, Any]]


class TrainingRun(Base):
    """The network of a training job and the results of the run."""

    __tablename__ = "training_runs"

    job_id: Mapped[int] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"), primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey(Dataset.id), index=True)
    network_key: Mapped[str] = mapped_column(ForeignKey("networks.key"))
    network: Mapped[str]
    epochs: Mapped[int]
    best_epoch: Mapped[int | None]
    best_accuracy: Mapped[float | None]
    curves_path: Mapped[ArtifactPath | None]
    confusion_path: Mapped[ArtifactPath | None]  # picture of the confusion matrix at the best epoch
    filters_path: Mapped[ArtifactPath | None]  # picture of the first layer's filters
    environment: Mapped[dict[str, Any] | None]  # device and versions of libraries


class Checkpoint(Base):
    """A checkpoint of a training run, stored as an artifact."""

    __tablename__ = "checkpoints"
    __table_args__ = (one_of("kind", CheckpointKind),)

    job_id: Mapped[int] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(8), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)  # only kind ``epoch`` has more than one row per run
    path: Mapped[ArtifactPath]
    sha256: Mapped[str] = mapped_column(Sha256)
    bytes: Mapped[int]
