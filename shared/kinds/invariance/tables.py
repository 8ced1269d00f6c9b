"""Result tables of an invariance job."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.base import ArtifactPath, Base
from shared.database.datasets import Image
from shared.jobs.tables import Job
from unitscope.vocabulary import TRANSFORMATIONS

KNOWN_TRANSFORMATION = f"transformation IN ({', '.join(map(repr, TRANSFORMATIONS))})"


class InvarianceImage(Base):
    """An image of the job. Read it through the view ``invariance_images``."""

    __tablename__ = "invariance_image_rows"

    job_id: Mapped[int] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"), primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey(Image.id), primary_key=True, index=True)
    clear_probability: Mapped[float]  # of the true class, without a transformation
    clear_class: Mapped[str]  # the predicted class without a transformation
    picture_path: Mapped[ArtifactPath | None]  # the figure


class InvariancePrediction(Base):
    """The prediction for a transformed image; the view ``invariance`` shows it with the distances."""

    __tablename__ = "invariance_prediction_rows"
    __table_args__ = (
        CheckConstraint("probability >= 0 AND probability <= 1", name="probability"),
        CheckConstraint(KNOWN_TRANSFORMATION, name="transformation"),
    )

    job_id: Mapped[int] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"), primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey(Image.id), primary_key=True, index=True)
    transformation: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[float] = mapped_column(primary_key=True)  # pixels, factor, or degrees
    probability: Mapped[float]  # of the true class
    class_name: Mapped[str]  # the predicted class


class InvarianceDistance(Base):
    """The distance of a layer's features of a transformed image to those of the image itself."""

    __tablename__ = "invariance_distance_rows"
    __table_args__ = (
        CheckConstraint("distance >= 0", name="distance"),
        CheckConstraint(KNOWN_TRANSFORMATION, name="transformation"),
    )

    job_id: Mapped[int] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"), primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey(Image.id), primary_key=True, index=True)
    transformation: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[float] = mapped_column(primary_key=True)
    layer: Mapped[str] = mapped_column(primary_key=True)
    layer_path: Mapped[str]  # module whose output was compared
    distance: Mapped[float]  # Euclidean
    relative_distance: Mapped[float | None]  # as a share of the norm of the image's features; NULL if that is 0


class InvarianceJob(Base):
    """The figure of an invariance job."""

    __tablename__ = "invariance_jobs"

    job_id: Mapped[int] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"), primary_key=True)
    figure_path: Mapped[ArtifactPath]
