"""The summary of an evolution: the type of ``jobs.summary``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class LayerEvolution(BaseModel):
    """Key figures of a layer. ``active``: units with a top image at the last epoch; ``settled``: the number of
    these whose top image no longer changes, by epoch."""

    model_config = ConfigDict(strict=True)

    layer: str
    units: int
    active: int
    drawn: int
    settled: list[int]


class EvolutionSummary(BaseModel):
    """Key figures of an evolution."""

    model_config = ConfigDict(strict=True)

    images: int
    images_left_out: int
    epochs: list[int]
    layers: list[LayerEvolution]
