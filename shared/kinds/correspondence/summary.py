"""The summary of a correspondence job: the type of ``jobs.summary``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class CorrespondenceSummary(BaseModel):
    """Key figures of a job."""

    model_config = ConfigDict(strict=True)

    images: int
    images_left_out: int
    parts: int
    pairs: int  # of images, of all parts
    parts_skipped: int  # before the job was made
    smaller_than_random: int  # rows (part and layer) whose mean distance is smaller than that of random masks
    compared: int  # rows (part and layer) that have a pair
