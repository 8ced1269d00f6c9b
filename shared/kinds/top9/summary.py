"""The summary of a top-9 search: the type of ``jobs.summary``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class LayerSummary(BaseModel):
    """Numbers of a layer's units by state, and of its rows. Jobs of earlier versions lack the later states."""

    model_config = ConfigDict(strict=True)

    layer: str
    units: int
    dead: int
    constant: int = 0
    not_finite: int = 0
    rows: int


class Top9Summary(BaseModel):
    """Key figures of a search."""

    model_config = ConfigDict(strict=True)

    images: int
    images_left_out: int
    layers: list[LayerSummary]
