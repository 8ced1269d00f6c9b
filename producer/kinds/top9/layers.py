"""Lookup of the layers and units of a top-9 search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from producer.kinds.top9.layer_names import layer_names
from producer.results.filters import Filters
from shared.database.catalogue import stored_description
from shared.errors import SpecificationNotReadable
from shared.jobs.tables import Job
from shared.kinds.registry import parse
from shared.kinds.top9.specification import Top9Specification
from shared.kinds.top9.tables import SearchedLayer, SearchedUnit
from unitscope.description import NetworkDescription
from unitscope.errors import (
    AmbiguousLayer,
    LayerWithoutUnits,
    NoSuchLayer,
    NoSuchModule,
    NoSuchUnit,
    NotAConvolution,
)
from unitscope.layers.lookup import find_layers


def searched_layers(
    session: Session, job_id: int, layer: str | None = None, units: Sequence[int] = ()
) -> list[SearchedLayer]:
    """Return the layers of a search, or only those that ``layer`` names: see ``searched_paths``.

    Raises
    ------
    NoSuchModule
        The search has no such layer.
    NoSuchUnit
        One of the layers was not searched for one of ``units``.
    """
    layers = _named_layers(session, job_id, layer)
    if units:
        _check_units(session, layers, units)
    return layers


def searched_paths(
    text: str, searched: Mapping[str, str], description: NetworkDescription | None, job_id: int
) -> list[str]:
    """Return the module paths of the searched layers that a text names, in the order of the search.

    Parameters
    ----------
    text
        As `analyze submit` takes it: names, numbers or ranges of them, module paths, ``scores``, or patterns (see
        ``unitscope.layers.lookup.find_layers``), separated by commas.
    searched
        Names of the layers that were searched, by module path.
    description
        Of the network. Without it, only the names and paths of ``searched``, and numbers in names, are known.

    Raises
    ------
    NoSuchModule
        A part of the text names no layer that was searched.
    """
    # A path can look like a range or a list.
    names = [text] if text in (*searched, *searched.values()) else layer_names(text) or [text]
    found = {path for name in names for path in _paths_of(name, searched, description, job_id)}
    return [path for path in searched if path in found]


def _paths_of(
    name: str, searched: Mapping[str, str], description: NetworkDescription | None, job_id: int
) -> list[str]:
    paths = [path for path, layer in searched.items() if name in (path, layer) or layer == f"conv{name}"]
    if not paths and description is not None:
        try:
            found = {layer.path for layer in find_layers(description, [name])}
        except (NoSuchLayer, LayerWithoutUnits, NotAConvolution, AmbiguousLayer):
            found = set()
        paths = [path for path in searched if path in found]
    if not paths:
        choices = ", ".join(searched.values()) or "none yet"
        raise NoSuchModule(network=f"Job {job_id}", layer=name, choices=choices)
    return paths


def network_description(session: Session, job: Job) -> NetworkDescription | None:
    """Return the stored description of the network that a search ran, or None if there is no usable one."""
    try:
        specification = parse(job.kind, job.specification)
    except SpecificationNotReadable:
        return None
    assert isinstance(specification, Top9Specification)  # noqa: S101 - of a top-9 job
    return stored_description(session, specification.network)


def _named_layers(session: Session, job_id: int, layer: str | None) -> list[SearchedLayer]:
    query = select(SearchedLayer).where(SearchedLayer.job_id == job_id).order_by(SearchedLayer.id)
    layers = list(session.scalars(query))
    if layer is None:
        return layers
    names = {row.layer_path: row.layer for row in layers}
    try:
        paths = searched_paths(layer, names, None, job_id)
    except NoSuchModule:  # only then read the description, which takes longer than the rest
        description = network_description(session, session.get_one(Job, job_id))
        paths = searched_paths(layer, names, description, job_id)
    return [row for row in layers if row.layer_path in paths]


def _check_units(session: Session, layers: Sequence[SearchedLayer], units: Sequence[int]) -> None:
    query = select(SearchedUnit.layer_id, SearchedUnit.unit)
    searched: dict[int, set[int]] = {layer.id: set() for layer in layers}
    for layer_id, unit in session.execute(query.where(SearchedUnit.layer_id.in_(searched))):
        searched[layer_id].add(unit)
    for unit in units:
        for layer in layers:
            if unit not in searched[layer.id]:
                raise NoSuchUnit(layer=layer.layer, unit=unit, last=max(searched[layer.id], default=-1))


def conditions_on_units(
    session: Session,
    job: Job,
    filters: Filters,
    layer_id: InstrumentedAttribute[int],
    unit: InstrumentedAttribute[int],
    rank: InstrumentedAttribute[int] | None = None,
) -> list[ColumnElement[bool]]:
    """Return the conditions of the filters ``layer``, ``units``, and with ``rank`` also ``ranks``, on columns.

    Raises
    ------
    NoSuchLayer, NoSuchUnit
    """
    layers = searched_layers(session, job.id, filters.layer, filters.units)
    clauses: list[ColumnElement[bool]] = [layer_id.in_([layer.id for layer in layers])]
    if filters.units:
        clauses.append(unit.in_(filters.units))
    if rank is not None and filters.ranks:
        clauses.append(rank.in_(filters.ranks))
    return clauses
