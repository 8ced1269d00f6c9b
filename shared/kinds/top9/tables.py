"""Result tables of a top-9 search."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.base import ArtifactPath, Base, Sha256
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
    # Method of its projections; NULL in jobs without projections, and in those made before schema 0019.
    projection: Mapped[str | None]
    # float32 [units, images], units as listed in the job's specification, images as in ``images.searched_images``;
    # NULL in searches with --no-maxima, and in those made before schema 0021
    maxima_path: Mapped[ArtifactPath | None]


class SearchedUnit(Base):
    """A unit that a top-9 job searched, and its state.

    A dead unit was positive on no image. A constant unit was positive, but its weights are zero: it doesn't depend
    on the image. A unit with a value that is NaN or infinite on some image has no rows.
    """

    __tablename__ = "searched_units"

    layer_id: Mapped[int] = mapped_column(ForeignKey("searched_layers.id", ondelete="CASCADE"), primary_key=True)
    unit: Mapped[int] = mapped_column(primary_key=True)
    dead: Mapped[bool]
    patches_path: Mapped[ArtifactPath | None]  # mosaic of the image patches
    projections_path: Mapped[ArtifactPath | None]  # mosaic of the projections
    constant: Mapped[bool | None]  # NULL until it is projected, and in jobs made before schema 0007
    not_finite: Mapped[bool | None]  # NULL in jobs made before schema 0007, which failed on such a unit


class RankedActivation:
    """Columns of all rankings: an image, its activation of a unit, and the activation's place.

    ``row`` and ``col`` are the position in the layer's map, or on the grid of its tokens. They are NULL where an
    activation has no place: in vectors, and in a class token.
    """

    layer_id: Mapped[int] = mapped_column(ForeignKey("searched_layers.id", ondelete="CASCADE"), primary_key=True)
    unit: Mapped[int] = mapped_column(primary_key=True)
    rank: Mapped[int] = mapped_column(primary_key=True)
    activation: Mapped[float]
    image_id: Mapped[int] = mapped_column(ForeignKey(Image.id), index=True)
    row: Mapped[int | None]
    col: Mapped[int | None]


class TopActivation(RankedActivation, Base):
    """One of the images with a unit's strongest activations. Read it through the view ``top_activations``.

    The columns of the pictures are NULL until the unit is projected, and without projections. The two pictures are
    the same box of their files, which are the unit's mosaics. The box is NULL in jobs made before schema 0016, in
    which a picture is a whole file.
    """

    __tablename__ = "top_activation_rows"
    __table_args__ = (CheckConstraint("rank >= 1", name="rank"), CheckConstraint("unit >= 0", name="unit"))

    patch_path: Mapped[ArtifactPath | None]
    projection_path: Mapped[ArtifactPath | None]
    projection_scale: Mapped[float | None]  # value of the projection that is drawn as black or white
    tied: Mapped[bool | None]  # another image has exactly this activation; NULL in jobs made before schema 0003
    projection_empty: Mapped[str | None]  # why the projection has no values; NULL if it has
    projection_largest: Mapped[float | None]  # largest |value|; NULL in jobs made before schema 0016
    picture_left: Mapped[int | None]  # box in pixels, with exclusive right and bottom
    picture_top: Mapped[int | None]
    picture_right: Mapped[int | None]
    picture_bottom: Mapped[int | None]


class UnitStatistics(Base):
    """Statistics of a unit's maximum over the images. Read it through the view ``unit_statistics``.

    ``precision`` is that of the maxima: float32, or the lower one of a search that screens its images.
    """

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
    precision: Mapped[str] = mapped_column(server_default="float32")


class UnitSelectivity(Base):
    """Class selectivity of a unit, for one of the classes of the largest AUC. Read it through the view
    ``unit_selectivity``. Dead, constant and not finite units have no rows.
    """

    __tablename__ = "unit_selectivity_rows"
    __table_args__ = (
        CheckConstraint("class_rank >= 1", name="class_rank"),
        CheckConstraint("auc >= 0 AND auc <= 1", name="auc"),
        CheckConstraint("precision_at_k >= 0 AND precision_at_k <= 1", name="precision"),
        CheckConstraint("k >= 1", name="k"),
    )

    layer_id: Mapped[int] = mapped_column(ForeignKey("searched_layers.id", ondelete="CASCADE"), primary_key=True)
    unit: Mapped[int] = mapped_column(primary_key=True)
    class_rank: Mapped[int] = mapped_column(primary_key=True)  # 1 is the class of the largest AUC
    class_index: Mapped[int]
    class_name: Mapped[str]
    auc: Mapped[float]
    precision_at_k: Mapped[float]  # share of the k images of the largest maxima that are of the class
    k: Mapped[int]


class UnitLabel(Base):
    """A word that describes a unit, by `analyze label`. Read it through the view ``unit_labels``."""

    __tablename__ = "unit_label_rows"
    __table_args__ = (CheckConstraint("rank >= 1", name="rank"),)

    layer_id: Mapped[int] = mapped_column(ForeignKey("searched_layers.id", ondelete="CASCADE"), primary_key=True)
    unit: Mapped[int] = mapped_column(primary_key=True)
    rank: Mapped[int] = mapped_column(primary_key=True)  # 1 is the best label
    label: Mapped[str]
    score: Mapped[float]
    similarities_sha256: Mapped[str] = mapped_column(Sha256)  # of the file that the labels were computed from


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
