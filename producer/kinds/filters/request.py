"""Validation of a request for the filters of one network, or of two."""

from __future__ import annotations

from collections.abc import Sequence

from producer.networks.choice import ChosenNetwork, NetworkOptions, choose_network, dataset_of_network
from shared.database.connection import Database
from shared.kinds.filters.specification import ChosenFilters, ChosenLayer, FiltersSpecification
from shared.settings import Settings
from unitscope.description import LayerDescription, NetworkDescription
from unitscope.errors import InvalidArgument, NoSuchUnit
from unitscope.vocabulary import Scale


def filters_request(
    database: Database,
    settings: Settings,
    *,
    dataset: str | None,
    layers: Sequence[str],
    network: NetworkOptions,
    other: NetworkOptions | None,
    scale: Scale,
    units: Sequence[int] | None,
    inputs: Sequence[int] | None,
    shards: int,
) -> FiltersSpecification:
    """Validate the request and return the specification of a job of filters.

    Raises
    ------
    NoSuchDataset, NoSuchRun, NoTrainedNetwork, NoSuchLayer, NotAConvolution, AmbiguousLayer, NoSuchUnit,
    InvalidArgument, UsageError, and the errors of ``choose_network``
    """
    with database.read() as session:
        row = dataset_of_network(session, dataset, network)
    chosen = [choose_network(database, settings, row, network)]
    if other is not None:
        with database.read() as session:
            trained_on = dataset_of_network(session, None if other.run else row.name, other)
        chosen.append(choose_network(database, settings, trained_on, other))
    found = [chosen_convolutions(one.description, layers) for one in chosen]
    _check_units([layer for of_network in found for layer in of_network], units or ())
    return FiltersSpecification(
        dataset_id=row.id,
        dataset_fingerprint=row.fingerprint,
        networks=[_chosen_filters(one, of_network) for one, of_network in zip(chosen, found, strict=True)],
        training_job_id=chosen[0].training_job_id,
        other_training_job_id=chosen[1].training_job_id if other else None,
        scale=scale,
        units=sorted(set(units or ())),
        inputs=sorted(set(inputs or ())),
        shards=shards,
    )


def chosen_convolutions(description: NetworkDescription, names: Sequence[str]) -> list[LayerDescription]:
    """Return the named convolutions, or all, each once and in execution order.

    Raises
    ------
    NoSuchLayer, NotAConvolution, AmbiguousLayer
    InvalidArgument
        the network has no convolution.
    """
    convolutions = {layer.path: layer for layer in description.convolutions()}
    if not convolutions:
        raise InvalidArgument(reason=f"{description.specification.name} has no convolution.")
    named = {description.find_convolution(name).path for name in names} or convolutions.keys()
    return [layer for path, layer in convolutions.items() if path in named]


def _check_units(layers: Sequence[LayerDescription], units: Sequence[int]) -> None:
    for layer in layers:
        if wrong := [unit for unit in units if unit >= layer.units]:
            raise NoSuchUnit(layer=layer.label, unit=wrong[0], last=layer.units - 1)


def _chosen_filters(chosen: ChosenNetwork, layers: Sequence[LayerDescription]) -> ChosenFilters:
    return ChosenFilters(
        network=chosen.description.specification,
        weights_sha256=chosen.sha256,
        weights_path=chosen.path,
        layers=[ChosenLayer(layer=layer.label, path=layer.path) for layer in layers],
    )
