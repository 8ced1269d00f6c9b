"""The summary of a job of feature maps: the type of ``jobs.summary``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class FeaturesSummary(BaseModel):
    """Key figures of a job."""

    model_config = ConfigDict(strict=True)

    images: int
    images_left_out: int
    layers: int
