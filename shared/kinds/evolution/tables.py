"""Result tables of an evolution."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.base import ArtifactPath, Base
from shared.database.datasets import Image
from shared.jobs.tables import Job
from unitscope.vocabulary import UNIT_STATES


class EvolutionJob(Base):
    """The pictures of a job: the paper's figure, and the shares of settled units by epoch."""

    __tablename__ = "evolution_jobs"

    job_id: Mapped[int] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"), primary_key=True)
    figure_path: Mapped[ArtifactPath | None]  # NULL if no unit is drawn
    curve_path: Mapped[ArtifactPath]


class EvolvedLayer(Base):
    """A layer that an evolution searched."""

    __tablename__ = "evolution_layers"
    __table_args__ = (UniqueConstraint("job_id", "layer_path"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"))
    layer: Mapped[str]  # its name: conv5
    layer_path: Mapped[str]  # its module: features.10
    block_path: Mapped[ArtifactPath | None]  # projections and patches of the drawn units; NULL if there are none


class EvolvedUnit(Base):
    """A unit of a searched layer."""

    __tablename__ = "evolution_units"

    layer_id: Mapped[int] = mapped_column(ForeignKey("evolution_layers.id", ondelete="CASCADE"), primary_key=True)
    unit: Mapped[int] = mapped_column(primary_key=True)
    settled_epoch: Mapped[int | None]  # the top image last changes here; NULL without one at the last epoch
    drawn: Mapped[bool]


class UnitEvolution(Base):
    """A unit's strongest activation at an epoch. Read it through the view ``unit_evolution``.

    Only an active unit has an activation, an image and a position. The columns of the pictures are NULL until the
    unit is projected, and for units that are not drawn.
    """

    __tablename__ = "unit_evolution_rows"
    __table_args__ = (
        CheckConstraint(f"state IN ({', '.join(repr(state) for state in UNIT_STATES)})", name="state"),
        CheckConstraint(
            "(state = 'active') = (activation IS NOT NULL) AND (state = 'active') = (image_id IS NOT NULL)",
            name="activation",
        ),
        CheckConstraint("epoch >= 1", name="epoch"),
    )

    layer_id: Mapped[int] = mapped_column(ForeignKey("evolution_layers.id", ondelete="CASCADE"), primary_key=True)
    unit: Mapped[int] = mapped_column(primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(String(12))  # see ``unitscope.vocabulary.UnitState``
    activation: Mapped[float | None]
    image_id: Mapped[int | None] = mapped_column(ForeignKey(Image.id), index=True)
    row: Mapped[int | None]
    col: Mapped[int | None]
    tied: Mapped[bool | None]  # another image has exactly this activation
    patch_path: Mapped[ArtifactPath | None]
    projection_path: Mapped[ArtifactPath | None]
    projection_scale: Mapped[float | None]  # |value| that is drawn as black or white; larger ones are clipped
    projection_empty: Mapped[str | None]  # why the projection has no values; NULL if it has


class SettledUnits(Base):
    """Number of a layer's settled units at an epoch. Read it through the view ``settled_units``."""

    __tablename__ = "settled_unit_rows"
    __table_args__ = (
        CheckConstraint("settled >= 0 AND settled <= active_at_end", name="settled"),
        CheckConstraint("active >= 0 AND active <= units", name="active"),
    )

    layer_id: Mapped[int] = mapped_column(ForeignKey("evolution_layers.id", ondelete="CASCADE"), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    units: Mapped[int]
    active: Mapped[int]  # units with a top image at this epoch
    active_at_end: Mapped[int]  # units with a top image at the last epoch
    settled: Mapped[int]  # those of ``active_at_end`` whose top image does not change after this epoch
