"""Result tables of a training run; its row and checkpoints are in ``shared.database.networks``."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.base import Base, one_of
from shared.jobs.tables import Job


class Phase(StrEnum):
    TRAIN = "train"
    VAL = "val"


class Epoch(Base):
    """One pass over a split in a training run."""

    __tablename__ = "epochs"
    __table_args__ = (one_of("phase", Phase),)

    job_id: Mapped[int] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)  # from 1
    phase: Mapped[str] = mapped_column(String(8), primary_key=True)
    loss: Mapped[float]
    accuracy: Mapped[float]  # 0 to 1
    top5_accuracy: Mapped[float | None]  # the true class is among the five most probable
    class_accuracy: Mapped[float | None]  # mean of the accuracies of the classes; NULL for training
    gradient_norm: Mapped[float | None]  # mean over the steps; NULL for validation
    learning_rate: Mapped[float]
    images: Mapped[int]
    seconds: Mapped[float]


class Answer(Base):
    """Number of validation images by true and predicted class at a run's best epoch. Read it through the view
    ``confusion_matrix``. Pairs with no images have no row."""

    __tablename__ = "answers"
    __table_args__ = (CheckConstraint("images > 0", name="images"),)

    job_id: Mapped[int] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"), primary_key=True)
    true_index: Mapped[int] = mapped_column(primary_key=True)
    answer_index: Mapped[int] = mapped_column(primary_key=True)
    true_class: Mapped[str]
    answer_class: Mapped[str]
    images: Mapped[int]
