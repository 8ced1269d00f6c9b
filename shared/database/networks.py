"""Networks, training runs, and the weights that they keep: what any analysis may start from."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.base import ArtifactPath, Base, Sha256, one_of
from shared.database.datasets import Dataset
from shared.jobs.tables import Job


class CheckpointKind(StrEnum):
    STATE = "state"  # all that a run needs to go on
    BEST = "best"  # weights of the best validation accuracy
    LAST = "last"  # weights of the last epoch
    EPOCH = "epoch"  # weights of an epoch that is kept


class Network(Base):
    """The description of a network, worked out once: see ``unitscope.description``."""

    __tablename__ = "networks"

    key: Mapped[str] = mapped_column(Sha256, primary_key=True)
    name: Mapped[str]
    description: Mapped[dict[str, Any]]


class TrainingRun(Base):
    """A training job's network and what came of it."""

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
    environment: Mapped[dict[str, Any] | None]  # device and versions of the libraries it ran with


class Checkpoint(Base):
    """What a training run keeps on disk."""

    __tablename__ = "checkpoints"
    __table_args__ = (one_of("kind", CheckpointKind),)

    job_id: Mapped[int] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(8), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)  # of state, best and last there is one
    path: Mapped[ArtifactPath]
    sha256: Mapped[str] = mapped_column(Sha256)
    bytes: Mapped[int]
