"""Lookup of the layers and units of a top-9 search."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.kinds.top9.tables import SearchedLayer, SearchedUnit
from unitscope.errors import NoSuchLayer, NoSuchUnit


def searched_layers(
    session: Session, job_id: int, layer: str | None = None, units: Sequence[int] = ()
) -> list[SearchedLayer]:
    """Return the layers of a search, or only the named one.

    Raises
    ------
    NoSuchLayer
        The search has no such layer.
    NoSuchUnit
        One of the layers was not searched for one of ``units``.
    """
    layers = _named_layers(session, job_id, layer)
    if units:
        _check_units(session, layers, units)
    return layers


def _named_layers(session: Session, job_id: int, layer: str | None) -> list[SearchedLayer]:
    query = select(SearchedLayer).where(SearchedLayer.job_id == job_id).order_by(SearchedLayer.id)
    layers = list(session.scalars(query))
    if layer is None:
        return layers
    chosen = [row for row in layers if layer in (row.layer, row.layer_path) or f"conv{layer}" == row.layer]
    if not chosen:
        choices = ", ".join(searched.layer for searched in layers) or "none yet"
        raise NoSuchLayer(network=f"Job {job_id}", layer=layer, choices=choices)
    return chosen


def _check_units(session: Session, layers: Sequence[SearchedLayer], units: Sequence[int]) -> None:
    query = select(SearchedUnit.layer_id, SearchedUnit.unit)
    searched: dict[int, set[int]] = {layer.id: set() for layer in layers}
    for layer_id, unit in session.execute(query.where(SearchedUnit.layer_id.in_(searched))):
        searched[layer_id].add(unit)
    for unit in units:
        for layer in layers:
            if unit not in searched[layer.id]:
                raise NoSuchUnit(layer=layer.layer, unit=unit, last=max(searched[layer.id], default=-1))
