"""Filters of convolutions (paper, Fig. 6)."""

from collections.abc import Sequence

from shared.kinds.descriptor import Kind
from shared.kinds.filters.specification import ChosenLayer, FiltersSpecification
from shared.kinds.filters.summary import FiltersSummary
from shared.kinds.filters.tables import FilterLayer, FilterRow, FiltersJob


def describe(specification: FiltersSpecification) -> str:
    """Return a short description such as ``filters of alexnet conv1, zfnet conv1``."""
    return "filters of " + ", ".join(
        _layers(chosen.network.name, chosen.layers) for chosen in specification.networks
    )


def _layers(network: str, layers: Sequence[ChosenLayer]) -> str:
    return f"{network} {layers[0].layer}" if len(layers) == 1 else f"{network}, {len(layers)} layers"


KIND = Kind(
    name="filters",
    specification=FiltersSpecification,
    summary=FiltersSummary,
    stages={"draw": "layers", "finish": None},
    tables=(FilterLayer, FilterRow, FiltersJob),
    describe=describe,
    other_jobs=("training_job_id", "other_training_job_id"),
    repeatable=True,
)
