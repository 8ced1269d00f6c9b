"""The summary of an invariance job: the type of ``jobs.summary``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class InvarianceSummary(BaseModel):
    """Key figures; probabilities are means over the images, and over the values of a transformation."""

    model_config = ConfigDict(strict=True)

    images: int
    images_left_out: int
    transformed_images: int  # of each image
    clear_probability: float
    shift_probability: float | None = None
    scale_probability: float | None = None
    rotation_probability: float | None = None
