"""What a top-9 search leaves."""

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
    layer: Mapped[str]  # as people say it: conv5
    layer_path: Mapped[str]  # the module: features.10
    contact_sheet_path: Mapped[ArtifactPath | None]


class SearchedUnit(Base):
    """A unit that a top-9 job searched; a dead one was positive on no image."""

    __tablename__ = "searched_units"

    layer_id: Mapped[int] = mapped_column(ForeignKey("searched_layers.id", ondelete="CASCADE"), primary_key=True)
    unit: Mapped[int] = mapped_column(primary_key=True)
    dead: Mapped[bool]
    patches_path: Mapped[ArtifactPath | None]  # mosaic of the image patches
    projections_path: Mapped[ArtifactPath | None]  # mosaic of the projections


class RankedActivation:
    """What the rows of every ranking have: an image that fires a unit, how much, and where in the unit's map."""

    layer_id: Mapped[int] = mapped_column(ForeignKey("searched_layers.id", ondelete="CASCADE"), primary_key=True)
    unit: Mapped[int] = mapped_column(primary_key=True)
    rank: Mapped[int] = mapped_column(primary_key=True)
    activation: Mapped[float]
    image_id: Mapped[int] = mapped_column(ForeignKey(Image.id), index=True)
    row: Mapped[int]
    col: Mapped[int]


class TopActivation(RankedActivation, Base):
    """One of the images that fire a unit most: read it through the view ``top_activations`` of the migrations."""

    __tablename__ = "top_activation_rows"
    __table_args__ = (CheckConstraint("rank >= 1", name="rank"), CheckConstraint("unit >= 0", name="unit"))

    patch_path: Mapped[ArtifactPath]
    projection_path: Mapped[ArtifactPath]
    projection_scale: Mapped[float]  # largest |value| of the projection: what is drawn as full black or white
    tied: Mapped[bool | None]  # another image fires the unit exactly as much; NULL: made before this was noted


class UnitStatistics(Base):
    """Of a unit's spatial maximum in each image: read it through the view ``unit_statistics``."""

    __tablename__ = "unit_statistics_rows"
    __table_args__ = (CheckConstraint("images >= 1", name="images"),)

    layer_id: Mapped[int] = mapped_column(ForeignKey("searched_layers.id", ondelete="CASCADE"), primary_key=True)
    unit: Mapped[int] = mapped_column(primary_key=True)
    images: Mapped[int]
    mean: Mapped[float]
    minimum: Mapped[float]
    maximum: Mapped[float]
    fired_share: Mapped[float]  # 0 to 1: of the images where it is positive
    q50: Mapped[float]  # quantiles
    q90: Mapped[float]
    q99: Mapped[float]
    q999: Mapped[float]
    histogram: Mapped[list[int]]  # images in equal steps from minimum to maximum


class BottomActivation(RankedActivation, Base):
    """One of the images with a unit's lowest spatial minima: read it through the view ``bottom_activations``."""

    __tablename__ = "bottom_activation_rows"
    __table_args__ = (
        CheckConstraint("rank >= 1", name="rank"),
        CheckConstraint("activation < 0", name="sign"),
    )


class ClassActivation(RankedActivation, Base):
    """One of the images of a class that fire a unit most: read it through the view ``class_activations``."""

    __tablename__ = "class_activation_rows"
    __table_args__ = (
        CheckConstraint("rank >= 1", name="rank"),
        CheckConstraint("activation > 0", name="sign"),
    )

    class_index: Mapped[int] = mapped_column(primary_key=True)
