"""Validation of a request for a top-9 search, before a job is created."""

from __future__ import annotations

from collections.abc import Sequence

from producer.cost.shards import shards_by_work
from producer.networks.choice import NetworkOptions, choose_network, dataset_of_network
from shared.database.catalogue import default_split, find_split
from shared.database.connection import Database
from shared.errors import UsageError
from shared.kinds.top9.images import kind_of_distinct
from shared.kinds.top9.specification import (
    LEAST_SHARDS,
    UNITS_OF_SHARD,
    SearchedLayerSpecification,
    Top9Specification,
)
from shared.settings import Settings
from unitscope.errors import NoSuchUnit
from unitscope.vocabulary import ProjectionMethod, Screen


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
    projection: ProjectionMethod = "deconvnet",
    screen: Screen | None = None,
    maxima: bool = True,
    distinct: bool = False,
) -> Top9Specification:
    """Validate the request and return the specification of a top-9 search. ``shards`` None: by its work.

    Raises
    ------
    NoSuchDataset, NoSuchSplit, EmptySplit, NoSuchRun, NoTrainedNetwork, NoSuchLayer, NotAConvolution,
    AmbiguousLayer, NoSuchUnit, UnsupportedActivation, UsageError, and the errors of ``choose_network``
    """
    if screen and (bottom or per_class):
        raise UsageError(reason="--screen finds a unit's top images only: leave out --bottom and --per-class.")
    if screen and distinct:
        raise UsageError(reason="--screen and --distinct are mutually exclusive: leave out one of them.")
    with database.read() as session:
        row = dataset_of_network(session, dataset, network)
        split, count = find_split(session, row, split or default_split(session, row))
        kind = kind_of_distinct(session, row.id, split) if distinct else None
    chosen = choose_network(database, settings, row, network)
    searched: dict[str, SearchedLayerSpecification] = {}
    for name in layers:
        layer = chosen.description.find_convolution(name)
        layer.check_projection(projection)
        wrong = [unit for unit in units or () if unit >= layer.units]
        if wrong:
            raise NoSuchUnit(layer=name, unit=wrong[0], last=layer.units - 1)
        searched[layer.path] = SearchedLayerSpecification(
            layer=layer.label, path=layer.path, units=list(units or range(layer.units))
        )
    order = [layer.path for layer in chosen.description.layers]
    specification = Top9Specification(
        dataset_id=row.id,
        dataset_fingerprint=row.fingerprint,
        split=split,
        image_count=count,
        network=chosen.description.specification,
        weights_sha256=chosen.sha256,
        weights_path=chosen.path,
        training_job_id=chosen.training_job_id,
        layers=[searched[path] for path in sorted(searched, key=order.index)],
        top=top,
        bottom=bottom,
        per_class=per_class,
        projection=projection,
        screen=screen,
        maxima=maxima,
        distinct=kind,
        shards=shards or LEAST_SHARDS,
    )
    if shards:
        return specification
    # A screening's shards each run a sample again, and know only the rankings of those before them.
    shards = LEAST_SHARDS if screen else shards_by_work(database, specification, "search", count, LEAST_SHARDS)
    return specification.model_copy(update={"shards": shards, "units_of_shard": UNITS_OF_SHARD})
