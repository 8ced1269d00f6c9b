"""Validation of a request for an invariance job, before a job is created."""

from __future__ import annotations

from collections.abc import Sequence

from producer.cost.shards import with_default_shards
from producer.datasets.choice import ImageChoice, chosen_images
from producer.networks.choice import NetworkOptions, choose_network, dataset_of_network, require_same_classes
from shared.database.connection import Database
from shared.errors import UsageError
from shared.kinds.invariance.specification import InvarianceSpecification
from shared.settings import Settings
from unitscope.errors import InvalidArgument
from unitscope.features.choice import find_feature_layers
from unitscope.invariance.series import paper_series, parse_series
from unitscope.vocabulary import TRANSFORMATIONS, Interpolation, Outside, Transformation


def invariance_request(
    database: Database,
    settings: Settings,
    *,
    dataset: str | None,
    images: ImageChoice,
    network: NetworkOptions,
    layers: Sequence[str],
    shifts: str | None,
    scales: str | None,
    rotations: str | None,
    outside: Outside,
    interpolation: Interpolation,
    whole_files: bool,
    shards: int | None,
) -> InvarianceSpecification:
    """Validate the request and return the specification of an invariance job.

    Parameters
    ----------
    shifts, scales, rotations
        ``FROM:TO:STEP``, values separated by commas, ``none``, or None for the paper's range.

    Raises
    ------
    NoSuchDataset, NoSuchSplit, EmptySplit, NoSuchImage, NoSuchRun, NoTrainedNetwork, NoSuchModule, AmbiguousLayer,
    UsageError, and the errors of ``choose_network``
    """
    with database.read() as session:
        row = dataset_of_network(session, dataset, network)
        split, numbers = chosen_images(session, row, images)
    chosen = choose_network(database, settings, row, network)
    require_same_classes(chosen, row)
    specification = chosen.description.specification
    written = dict(zip(TRANSFORMATIONS, (shifts, scales, rotations), strict=True))
    try:
        series = {name: _values(name, text, specification.image_size) for name, text in written.items()}
        compared = find_feature_layers(chosen.description, layers)
    except InvalidArgument as error:
        raise UsageError(reason=str(error)) from error
    if not any(series.values()):
        raise UsageError(reason="There is nothing to measure: --shifts, --scales and --rotations are all none.")
    job = InvarianceSpecification(
        dataset_id=row.id,
        dataset_fingerprint=row.fingerprint,
        split=split,
        images=numbers,
        whole_files=whole_files,
        network=specification,
        weights_sha256=chosen.sha256,
        weights_path=chosen.path,
        training_job_id=chosen.training_job_id,
        layers=compared,
        shifts=series["shift"],
        scales=series["scale"],
        rotations=series["rotation"],
        outside=outside,
        interpolation=interpolation,
        shards=shards,
    )
    return with_default_shards(database, job, shards, ("measure", "draw"), len(numbers))


def _values(transformation: Transformation, text: str | None, size: int) -> list[float]:
    """Return the values of a transformation.

    Raises
    ------
    InvalidArgument
    """
    if text is None:
        return list(paper_series(size)[transformation])
    return [] if text.strip().lower() == "none" else list(parse_series(transformation, text, size))
