"""Result tables of jobs of feature maps."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.base import ArtifactPath, Base
from shared.database.datasets import Image
from shared.jobs.tables import Job


class FeatureImage(Base):
    """An image of a job: one of the data set, or a file."""

    __tablename__ = "feature_image_rows"
    __table_args__ = (
        CheckConstraint("image_number >= 1", name="image_number"),
        CheckConstraint("(image_id IS NULL) <> (file IS NULL)", name="source"),
    )

    job_id: Mapped[int] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"), primary_key=True)
    image_number: Mapped[int] = mapped_column(primary_key=True)  # from 1, in the order of the request
    image_id: Mapped[int | None] = mapped_column(ForeignKey(Image.id), index=True)
    file: Mapped[str | None]  # the path that was given
    picture_path: Mapped[ArtifactPath]  # every layer as one picture
    array_path: Mapped[ArtifactPath | None]


class FeatureMap(Base):
    """A layer's feature maps of an image. Read it through the view ``feature_maps``."""

    __tablename__ = "feature_map_rows"
    __table_args__ = (CheckConstraint("layer_number >= 1 AND call >= 1", name="numbers"),)

    job_id: Mapped[int] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"), primary_key=True)
    image_number: Mapped[int] = mapped_column(primary_key=True)
    layer_number: Mapped[int] = mapped_column(primary_key=True)  # from 1, in execution order
    layer: Mapped[str]
    layer_path: Mapped[str]
    call: Mapped[int]  # number of the module's run in a forward pass, from 1
    module: Mapped[str]  # class of the module: ReLU
    channels: Mapped[int]
    rows: Mapped[int]  # of a map
    cols: Mapped[int]
    mean: Mapped[float]  # of all values, as the following ones
    minimum: Mapped[float]
    maximum: Mapped[float]
    positive_share: Mapped[float]  # share of values above 0
    silent_channels: Mapped[int]  # number of channels without a value above 0
    channels_path: Mapped[ArtifactPath | None]  # picture of all channels


class FeaturesJob(Base):
    """The sheet of a job: its images by its layers."""

    __tablename__ = "features_jobs"

    job_id: Mapped[int] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"), primary_key=True)
    sheet_path: Mapped[ArtifactPath]
