"""The summary of an occlusion sweep: the type of ``jobs.summary``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class OcclusionSummary(BaseModel):
    """Key figures of a sweep; probabilities are means over the images."""

    model_config = ConfigDict(strict=True)

    images: int
    images_left_out: int
    positions: int
    computed_share: float
    engine: str
    images_whose_class_changes: int
    mean_drop: float
    largest_measured_error: float | None = None
    probability_inside_box: float | None = None
    probability_outside_box: float | None = None
