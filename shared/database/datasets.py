"""Tables of data sets, their images and splits, and the images that were left out."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.base import Base, Sha256, utc_now


class Dataset(Base):
    """A registered data set. ``fingerprint`` is a SHA-256 over the content of all its usable images."""

    __tablename__ = "datasets"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    root: Mapped[str]
    options: Mapped[dict[str, Any]]
    fingerprint: Mapped[str] = mapped_column(Sha256)
    class_names: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Image(Base):
    """A usable image: a whole file, or the box of one object in it.

    Boxes are in pixels from 0, with exclusive right and bottom, as in Pillow; no box means the whole file.
    """

    __tablename__ = "images"
    __table_args__ = (
        UniqueConstraint("dataset_id", "path", "object_number"),
        CheckConstraint("width > 0 AND height > 0", name="size"),
        CheckConstraint(
            "(box_left IS NULL AND box_top IS NULL AND box_right IS NULL AND box_bottom IS NULL) OR "
            "(box_left IS NOT NULL AND box_top IS NOT NULL AND box_right IS NOT NULL AND box_bottom IS NOT NULL "
            "AND box_left >= 0 AND box_top >= 0 AND box_left < box_right AND box_top < box_bottom "
            "AND box_right <= width AND box_bottom <= height)",
            name="box",
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"))
    path: Mapped[str]  # relative to the data set's root
    object_number: Mapped[int]  # from 1 in the order of the annotation; 0: the whole image
    class_index: Mapped[int]
    class_name: Mapped[str]
    width: Mapped[int]  # of the file's image, as it is used: turned or as stored
    height: Mapped[int]
    box_left: Mapped[int | None]
    box_top: Mapped[int | None]
    box_right: Mapped[int | None]
    box_bottom: Mapped[int | None]
    sha256: Mapped[str] = mapped_column(Sha256)  # of the file
    # of the file's image, see ``unitscope.images.perceptual_hash``; NULL in data sets of before schema 0021
    perceptual_hash: Mapped[int | None] = mapped_column(BigInteger)

    @property
    def box(self) -> tuple[int, int, int, int] | None:
        """The box (left, top, right, bottom), or None for the whole image."""
        if self.box_left is None or self.box_top is None or self.box_right is None or self.box_bottom is None:
            return None
        return self.box_left, self.box_top, self.box_right, self.box_bottom


class ImageSplit(Base):
    """Membership of an image in a split; an image can be in several (``train`` and ``trainval``)."""

    __tablename__ = "image_splits"
    __table_args__ = (Index(None, "dataset_id", "split", "image_id"),)

    split: Mapped[str] = mapped_column(primary_key=True)
    image_id: Mapped[int] = mapped_column(
        ForeignKey("images.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"))


class DatasetProblem(Base):
    """An image or object that was left out of a data set when it was registered, with the reason."""

    __tablename__ = "dataset_problems"

    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"), index=True)
    path: Mapped[str]
    object_number: Mapped[int]
    reason: Mapped[str]  # a short code, by which problems are counted
    detail: Mapped[str]
