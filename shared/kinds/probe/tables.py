"""Result tables of a probe job."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.base import ArtifactPath, Base
from shared.jobs.tables import Job


class ProbeAccuracy(Base):
    """The result of a probe: a classifier on the features of a layer, in one trial. Read it through the view
    ``probe_accuracies``. Accuracies are 0 to 1."""

    __tablename__ = "probe_accuracy_rows"
    __table_args__ = (
        CheckConstraint("depth >= 1 AND trial >= 1", name="numbers"),
        CheckConstraint("accuracy >= 0 AND accuracy <= 1", name="accuracy"),
        CheckConstraint("class_accuracy >= 0 AND class_accuracy <= 1", name="class_accuracy"),
    )

    job_id: Mapped[int] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"), primary_key=True)
    depth: Mapped[int] = mapped_column(primary_key=True)  # from 1, in the order in which the layers run
    classifier: Mapped[str] = mapped_column(String(16), primary_key=True)
    trial: Mapped[int] = mapped_column(primary_key=True)  # from 1
    layer: Mapped[str]
    layer_path: Mapped[str]
    read_path: Mapped[str]  # of the module whose output was used
    features: Mapped[int]
    pooling: Mapped[str | None]  # NULL if the output was used as it is
    grid_rows: Mapped[int | None]
    grid_cols: Mapped[int | None]
    seed: Mapped[int] = mapped_column(BigInteger)
    fold: Mapped[int | None]  # NULL without folds
    train_images: Mapped[int]
    test_images: Mapped[int]
    classes: Mapped[int]  # that have test images
    regularization: Mapped[float]  # the chosen C
    held_out_accuracy: Mapped[float | None]  # mean of per-class accuracy with that C
    train_accuracy: Mapped[float]
    accuracy: Mapped[float]
    class_accuracy: Mapped[float]  # mean over the classes
    chance: Mapped[float]  # of class_accuracy: 1 / classes
    majority: Mapped[float]  # accuracy of the best constant answer
    converged: Mapped[bool]
    shuffled_labels: Mapped[bool]


class ProbeJob(Base):
    """A probe job's curve of accuracy against depth."""

    __tablename__ = "probe_jobs"

    job_id: Mapped[int] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"), primary_key=True)
    curve_path: Mapped[ArtifactPath]
