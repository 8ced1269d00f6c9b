"""Tables of networks, training runs and checkpoints, which any kind of job may refer to."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.base import ArtifactPath, Base, Sha256, one_of, utc_now
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


class RegisteredNetwork(Base):
    """A network of the user's own, which ``analyze network add`` registered. Code of others is not run.

    ``factory`` is a ``unitscope.factories.FactorySpecification``. A name has one row without ``replaced_at``; the
    others are earlier versions, which jobs may still use.
    """

    __tablename__ = "registered_networks"
    __table_args__ = (
        Index(
            "ix_registered_networks_current",
            "name",
            unique=True,
            sqlite_where=text("replaced_at IS NULL"),
            postgresql_where=text("replaced_at IS NULL"),
        ),
    )

    name: Mapped[str] = mapped_column(primary_key=True)
    factory_key: Mapped[str] = mapped_column(Sha256, primary_key=True)
    factory: Mapped[dict[str, Any]]
    folder: Mapped[str | None]  # of the code, on the machine where the network was added
    files: Mapped[dict[str, Any]]  # SHA-256 of each source file, by its path in the folder
    image_size: Mapped[int]
    mean: Mapped[list[float]]
    std: Mapped[list[float]]
    classes: Mapped[int]
    added_at: Mapped[datetime] = mapped_column(default=utc_now)
    replaced_at: Mapped[datetime | None]


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
