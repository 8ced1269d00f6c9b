"""The summary of a job of filters: the type of ``jobs.summary``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class FiltersSummary(BaseModel):
    """Numbers of layers and filters of all networks of the job, and of filters that are dead or dominate."""

    model_config = ConfigDict(strict=True)

    layers: int
    filters: int
    dead: int
    dominating: int
    over_limit: int
