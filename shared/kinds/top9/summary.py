"""The summary of a top-9 search: the type of ``jobs.summary``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class LayerSummary(BaseModel):
    """Numbers of a layer's units by state, and of its rows. Jobs of earlier versions lack the later states.

    ``projection`` is the method of its projections; None without projections, and in jobs of earlier versions.
    """

    model_config = ConfigDict(strict=True)

    layer: str
    units: int
    dead: int
    constant: int = 0
    not_finite: int = 0
    rows: int
    projection: str | None = None


class Top9Summary(BaseModel):
    """Key figures of a search."""

    model_config = ConfigDict(strict=True)

    images: int
    images_left_out: int
    layers: list[LayerSummary]
