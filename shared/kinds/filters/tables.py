"""Result tables of jobs of filters."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.base import ArtifactPath, Base
from shared.jobs.tables import Job


class FilterLayer(Base):
    """A convolution whose filters a job shows. Read it through the view ``filter_layers``."""

    __tablename__ = "filter_layer_rows"
    __table_args__ = (CheckConstraint("network_number >= 1 AND layer_number >= 1", name="numbers"),)

    job_id: Mapped[int] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"), primary_key=True)
    network_number: Mapped[int] = mapped_column(primary_key=True)  # from 1, as in the request
    layer_number: Mapped[int] = mapped_column(primary_key=True)  # from 1, in execution order
    network: Mapped[str]
    layer: Mapped[str]
    layer_path: Mapped[str]
    filters: Mapped[int]
    inputs: Mapped[int]  # input channels of a filter; of a grouped convolution those of its group
    groups: Mapped[int]
    kernel_rows: Mapped[int]
    kernel_cols: Mapped[int]
    stride_rows: Mapped[int]
    stride_cols: Mapped[int]
    reads_pixels: Mapped[bool]  # its inputs are the three colours of the image
    rms_median: Mapped[float]  # of the filters that are not zero
    rms_limit: Mapped[float]  # of the paper's training
    dead: Mapped[int]  # numbers of filters
    dominating: Mapped[int]
    over_limit: Mapped[int]
    picture_path: Mapped[ArtifactPath]


class FilterRow(Base):
    """The statistics of a filter. Read it through the view ``filters``."""

    __tablename__ = "filter_rows"
    __table_args__ = (CheckConstraint("unit >= 0", name="unit"),)

    job_id: Mapped[int] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"), primary_key=True)
    network_number: Mapped[int] = mapped_column(primary_key=True)
    layer_number: Mapped[int] = mapped_column(primary_key=True)
    unit: Mapped[int] = mapped_column(primary_key=True)
    rms: Mapped[float]
    norm: Mapped[float]
    mean: Mapped[float]
    minimum: Mapped[float]
    maximum: Mapped[float]
    dead: Mapped[bool]
    dominating: Mapped[bool]
    over_limit: Mapped[bool]


class FiltersJob(Base):
    """The figure of a job: the first chosen layer of each network."""

    __tablename__ = "filters_jobs"

    job_id: Mapped[int] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"), primary_key=True)
    figure_path: Mapped[ArtifactPath]
