"""Result tables of an occlusion sweep."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.base import ArtifactPath, Base
from shared.database.datasets import Image
from shared.jobs.tables import Job


class OcclusionMap(Base):
    """The result of the sweep of an image. Read it through the view ``occlusion_maps``.

    ``*_row`` and ``*_col`` are the square's top row and left column in pixels of the network's input. Activations
    are sums over the unit's map after its ReLU. Probabilities are those of the true class, except ``*target*``.
    """

    __tablename__ = "occlusion_map_rows"
    __table_args__ = (
        CheckConstraint("positions >= 1 AND computed >= 1 AND computed <= positions", name="positions"),
        CheckConstraint("class_changes >= 0 AND class_changes <= positions", name="class_changes"),
    )

    job_id: Mapped[int] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"), primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey(Image.id), primary_key=True, index=True)
    layer: Mapped[str]
    layer_path: Mapped[str]
    unit: Mapped[int]
    clear_activation: Mapped[float]
    clear_probability: Mapped[float]
    clear_class: Mapped[str]  # the predicted class without the square
    positions: Mapped[int]  # number of positions of the square
    computed: Mapped[int]  # number of computed positions; the others were interpolated
    error: Mapped[float | None]  # of the interpolation, measured on a sample, as a share of the map's range
    min_activation: Mapped[float]
    min_activation_row: Mapped[int]
    min_activation_col: Mapped[int]
    min_probability: Mapped[float]
    min_probability_row: Mapped[int]
    min_probability_col: Mapped[int]
    class_changes: Mapped[int]  # number of positions where the predicted class differs from ``clear_class``
    correlation: Mapped[float | None]  # of activation and probability over the positions; NULL if one is constant
    target_class: Mapped[str | None]
    clear_target_probability: Mapped[float | None]
    min_target_probability: Mapped[float | None]
    max_target_probability: Mapped[float | None]
    # Mean over the positions whose centre is inside, or outside, the object's box; only if whole files are swept.
    inside_probability: Mapped[float | None]
    outside_probability: Mapped[float | None]
    engine: Mapped[str]
    array_path: Mapped[ArtifactPath]
    projection_path: Mapped[ArtifactPath | None]  # of the unit, from this image; NULL if the unit isn't positive
    patch_path: Mapped[ArtifactPath | None]  # the image patch that was projected
    picture_path: Mapped[ArtifactPath | None]  # the figure


class OcclusionPosition(Base):
    """A position of the square on an image. Read it through the view ``occlusion_positions``."""

    __tablename__ = "occlusion_position_rows"

    job_id: Mapped[int] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"), primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey(Image.id), primary_key=True, index=True)
    row: Mapped[int] = mapped_column(primary_key=True)
    col: Mapped[int] = mapped_column(primary_key=True)
    activation: Mapped[float]
    probability: Mapped[float]
    target_probability: Mapped[float | None]
    class_name: Mapped[str]  # the predicted class


class OcclusionJob(Base):
    """An occlusion job's contact sheet."""

    __tablename__ = "occlusion_jobs"

    job_id: Mapped[int] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"), primary_key=True)
    contact_sheet_path: Mapped[ArtifactPath]
