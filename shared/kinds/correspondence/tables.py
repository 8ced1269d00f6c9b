"""Result tables of a correspondence job."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.base import ArtifactPath, Base
from shared.database.datasets import Image
from shared.jobs.tables import Job


class CorrespondenceImage(Base):
    """A part that was masked in an image. Read it through the view ``correspondence_images``."""

    __tablename__ = "correspondence_image_rows"
    __table_args__ = (CheckConstraint("masked_share > 0 AND masked_share <= 1", name="masked_share"),)

    job_id: Mapped[int] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"), primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey(Image.id), primary_key=True, index=True)
    part: Mapped[str] = mapped_column(primary_key=True)
    boxes: Mapped[int]  # number of boxes
    masked_share: Mapped[float]  # of the image's pixels
    array_path: Mapped[ArtifactPath]  # signs of all parts of the image
    picture_path: Mapped[ArtifactPath]  # the image, and the image with its parts masked


class CorrespondencePart(Base):
    """A part and a layer, over all pairs of images: a row of the paper's Table 1. Read it through the view
    ``correspondence``. Means are NULL if less than two images could be read."""

    __tablename__ = "correspondence_rows"
    __table_args__ = (CheckConstraint("images >= 0 AND pairs >= 0", name="pairs"),)

    job_id: Mapped[int] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"), primary_key=True)
    part: Mapped[str] = mapped_column(primary_key=True)
    layer: Mapped[str] = mapped_column(primary_key=True)
    layer_path: Mapped[str]  # module whose output was compared
    images: Mapped[int]
    pairs: Mapped[int]
    distance: Mapped[float | None]  # mean over the pairs
    spread: Mapped[float | None]  # standard deviation over the pairs
    random_distance: Mapped[float | None]  # mean over the pairs and draws of random masks
    random_spread: Mapped[float | None]
    below_chance: Mapped[float | None]  # share of the pairs that are nearer than with random masks


class CorrespondencePair(Base):
    """A pair of images. Read it through the view ``correspondence_pairs``."""

    __tablename__ = "correspondence_pair_rows"
    __table_args__ = (CheckConstraint("image_id < other_image_id", name="order"),)

    job_id: Mapped[int] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"), primary_key=True)
    part: Mapped[str] = mapped_column(primary_key=True)
    layer: Mapped[str] = mapped_column(primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey(Image.id), primary_key=True, index=True)
    other_image_id: Mapped[int] = mapped_column(ForeignKey(Image.id), primary_key=True, index=True)
    distance: Mapped[float]  # share of the features whose signs differ
    random_distance: Mapped[float]  # mean over the draws of random masks


class CorrespondenceJob(Base):
    """The figure of a correspondence job."""

    __tablename__ = "correspondence_jobs"

    job_id: Mapped[int] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"), primary_key=True)
    figure_path: Mapped[ArtifactPath]
