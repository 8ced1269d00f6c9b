"""Validation of a request for a top-9 search, before a job is created."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

from producer.cost.shards import IMAGES_PER_SECOND, SHARD_SECONDS, shards_by_work
from producer.datasets.notes import first_of
from producer.kinds.top9.distinct import note_duplicates
from producer.networks.choice import NetworkOptions, choose_network, dataset_of_network
from shared.database.catalogue import default_split, find_split
from shared.database.connection import Database
from shared.errors import UsageError
from shared.kinds.top9.images import image_groups, kind_of_distinct
from shared.kinds.top9.specification import (
    LEAST_SHARDS,
    UNITS_OF_SHARD,
    SearchedLayerSpecification,
    Top9Specification,
)
from shared.settings import Settings
from unitscope.description import LayerDescription, NetworkDescription
from unitscope.errors import NoSuchUnit
from unitscope.layers.lookup import find_layers
from unitscope.vocabulary import ProjectionChoice, ProjectionMethod, Screen

SHOWN_LAYERS = 3
SCREENING_SHARD_SECONDS = 300.0

logger = logging.getLogger(__name__)


def search_request(
    database: Database,
    settings: Settings,
    *,
    dataset: str | None,
    layers: Sequence[str],
    units: Sequence[int] | None,
    split: str | None,
    top: int,
    shards: int | None,
    network: NetworkOptions,
    bottom: bool = False,
    per_class: bool = False,
    projection: ProjectionChoice = "auto",
    screen: Screen | None = None,
    maxima: bool = True,
    distinct: bool = False,
) -> Top9Specification:
    """Validate the request and return the specification of a top-9 search. ``shards`` None: by its work.

    With the projection ``auto``, layers that have no deconvnet are projected by the gradient.

    Raises
    ------
    NoSuchDataset, NoSuchSplit, EmptySplit, NoSuchRun, NoTrainedNetwork, NoSuchLayer,
    LayerWithoutUnits, AmbiguousLayer, NoSuchUnit, UnsupportedActivation, UsageError, and the errors of
    ``choose_network``
    """
    if screen and (bottom or per_class):
        raise UsageError(reason="--screen finds a unit's top images only: leave out --bottom and --per-class.")
    if screen and distinct:
        raise UsageError(reason="--screen and --distinct are mutually exclusive: leave out one of them.")
    with database.read() as session:
        row = dataset_of_network(session, dataset, network)
        split, count = find_split(session, row, split or default_split(session, row))
        kind = kind_of_distinct(session, row.id, split) if distinct else None
        groups = image_groups(session, row.id, split, kind).groups if kind else None
    chosen = choose_network(database, settings, row, network)
    found = find_layers(chosen.description, layers)
    methods = {layer.path: layer.projection(projection) for layer in found}
    # One that differs from the search's is a layer's own, so that keys don't depend on how it was asked for.
    method = "deconvnet" if "deconvnet" in methods.values() else next(iter(methods.values()))
    if projection == "auto":
        _note_gradients([layer for layer in found if methods[layer.path] == "gradient"])
    _note_first_runs(chosen.description, found)
    if groups is not None:
        note_duplicates(groups, f"the split {split}")
    specification = Top9Specification(
        dataset_id=row.id,
        dataset_fingerprint=row.fingerprint,
        split=split,
        image_count=count,
        network=chosen.description.specification,
        weights_sha256=chosen.sha256,
        weights_path=chosen.path,
        training_job_id=chosen.training_job_id,
        layers=[_searched(layer, units, methods[layer.path], method) for layer in found],
        top=top,
        bottom=bottom,
        per_class=per_class,
        projection=method,
        screen=screen,
        maxima=maxima,
        distinct=kind,
        shards=shards or LEAST_SHARDS,
    )
    return specification if shards else with_shards_by_work(database, specification)


def with_shards_by_work(database: Database, specification: Top9Specification) -> Top9Specification:
    """Return the specification with a number of shards that take about a minute each, of a screening five."""
    # Of a screening, more shards compute more images twice: each knows only the rankings of those before it.
    # Without an earlier one there are few: its speed is not known.
    screen = specification.screen
    shards = shards_by_work(
        database,
        specification,
        ["search"],
        specification.image_count,
        LEAST_SHARDS,
        per_second=math.inf if screen else IMAGES_PER_SECOND,
        seconds=SCREENING_SHARD_SECONDS if screen else SHARD_SECONDS,
    )
    return specification.model_copy(update={"shards": shards, "units_of_shard": UNITS_OF_SHARD})


def _note_gradients(layers: Sequence[LayerDescription]) -> None:
    """Log which layers are projected by the gradient, and why."""
    if layers and (reason := layers[0].unsupported):
        names = first_of([layer.label for layer in layers], SHOWN_LAYERS)
        why = f"module {reason.module} ({reason.kind}) applies {reason.function}"
        logger.warning("Note: projections of %s are by the gradient: %s.", names, why)


def _note_first_runs(description: NetworkDescription, layers: Sequence[LayerDescription]) -> None:
    """Log which layers are only the first of several runs of their module."""
    repeated = [(layer.label, runs) for layer in layers if (runs := description.runs(layer.path)) > 1]
    if repeated:
        names = first_of([f"{label} ({runs} times)" for label, runs in repeated], SHOWN_LAYERS)
        logger.warning("Note: only the first run is searched of modules that run several times: %s.", names)


def _searched(
    layer: LayerDescription,
    units: Sequence[int] | None,
    method: ProjectionMethod | None,
    of_search: ProjectionMethod | None,
) -> SearchedLayerSpecification:
    """Return a layer of the specification. What convolutions have anyway is left out of it, and out of the key.

    Raises
    ------
    NoSuchUnit
    """
    wrong = [unit for unit in units or () if unit >= layer.units]
    if wrong:
        raise NoSuchUnit(layer=layer.label, unit=wrong[0], last=layer.units - 1)
    return SearchedLayerSpecification(
        layer=layer.label,
        path=layer.path,
        units=list(units or range(layer.units)),
        form=None if layer.kind == "Conv2d" and layer.form and layer.form.is_usual else layer.form,
        projection=None if method == of_search else method,
    )
