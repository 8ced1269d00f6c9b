"""Result tables of a top-9 search."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.base import ArtifactPath, Base
from shared.database.datasets import Image
from shared.jobs.tables import Job


class SearchedLayer(Base):
    """A layer that a top-9 job searched."""

    __tablename__ = "searched_layers"
    __table_args__ = (UniqueConstraint("job_id", "layer_path"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"))
    layer: Mapped[str]  # its name: conv5
    layer_path: Mapped[str]  # its module: features.10
    contact_sheet_path: Mapped[ArtifactPath | None]


class SearchedUnit(Base):
    """A unit that a top-9 job searched; a dead unit was positive on no image."""

    __tablename__ = "searched_units"

    layer_id: Mapped[int] = mapped_column(ForeignKey("searched_layers.id", ondelete="CASCADE"), primary_key=True)
    unit: Mapped[int] = mapped_column(primary_key=True)
    dead: Mapped[bool]
    patches_path: Mapped[ArtifactPath | None]  # mosaic of the image patches
    projections_path: Mapped[ArtifactPath | None]  # mosaic of the projections


class RankedActivation:
    """Columns of all rankings: an image, its activation of a unit, and the activation's position in the map."""

    layer_id: Mapped[int] = mapped_column(ForeignKey("searched_layers.id", ondelete="CASCADE"), primary_key=True)
    unit: Mapped[int] = mapped_column(primary_key=True)
    rank: Mapped[int] = mapped_column(primary_key=True)
    activation: Mapped[float]
    image_id: Mapped[int] = mapped_column(ForeignKey(Image.id), index=True)
    row: Mapped[int]
    col: Mapped[int]


class TopActivation(RankedActivation, Base):
    """One of the images with a unit's strongest activations. Read it through the view ``top_activations``."""

    __tablename__ = "top_activation_rows"
    __table_args__ = (CheckConstraint("rank >= 1", name="rank"), CheckConstraint("unit >= 0", name="unit"))

    patch_path: Mapped[ArtifactPath]
    projection_path: Mapped[ArtifactPath]
    projection_scale: Mapped[float]  # largest |value| of the projection, drawn as black or white
    tied: Mapped[bool | None]  # another image has exactly this activation; NULL in jobs made before schema 0003


class UnitStatistics(Base):
    """Statistics of a unit's spatial maximum over the images. Read it through the view ``unit_statistics``."""

    __tablename__ = "unit_statistics_rows"
    __table_args__ = (CheckConstraint("images >= 1", name="images"),)

    layer_id: Mapped[int] = mapped_column(ForeignKey("searched_layers.id", ondelete="CASCADE"), primary_key=True)
    unit: Mapped[int] = mapped_column(primary_key=True)
    images: Mapped[int]
    mean: Mapped[float]
    minimum: Mapped[float]
    maximum: Mapped[float]
    fired_share: Mapped[float]  # share of images with a positive maximum, 0 to 1
    q50: Mapped[float]  # quantiles
    q90: Mapped[float]
    q99: Mapped[float]
    q999: Mapped[float]
    histogram: Mapped[list[int]]  # images per bin; bins of equal width from minimum to maximum


class BottomActivation(RankedActivation, Base):
    """One of the images with a unit's lowest spatial minima. Read it through the view ``bottom_activations``."""

    __tablename__ = "bottom_activation_rows"
    __table_args__ = (
        CheckConstraint("rank >= 1", name="rank"),
        CheckConstraint("activation < 0", name="sign"),
    )


class ClassActivation(RankedActivation, Base):
    """One of a class's images with a unit's strongest activations. Read it through the view
    ``class_activations``."""

    __tablename__ = "class_activation_rows"
    __table_args__ = (
        CheckConstraint("rank >= 1", name="rank"),
        CheckConstraint("activation > 0", name="sign"),
    )

    class_index: Mapped[int] = mapped_column(primary_key=True)
