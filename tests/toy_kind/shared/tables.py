"""Result table of a brightness job, with one row per image."""

from __future__ import annotations

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.base import Base
from shared.database.datasets import Image
from shared.jobs.tables import Job


class ImageBrightness(Base):
    """The mean of an image's pixels. Queries use the view ``brightness``."""

    __tablename__ = "brightness_rows"

    job_id: Mapped[int] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"), primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey(Image.id), primary_key=True, index=True)
    brightness: Mapped[float]  # 0 to 255
