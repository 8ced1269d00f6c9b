"""Validation of a request for an occlusion sweep, before a job is created: images, unit, and occluder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from producer.cost.shards import with_default_shards
from producer.datasets.choice import ImageChoice, chosen_images
from producer.networks.choice import ChosenNetwork, NetworkOptions, choose_network, dataset_of_network
from shared.database.catalogue import class_index
from shared.database.connection import Database
from shared.database.datasets import Dataset
from shared.errors import SpecificationNotReadable, UsageError
from shared.jobs.tables import Job, JobState
from shared.kinds.occlusion.specification import OcclusionSpecification
from shared.kinds.registry import parse
from shared.settings import Settings
from unitscope.description import LayerDescription
from unitscope.errors import NoSuchUnit
from unitscope.vocabulary import Engine, Fill


@dataclass(frozen=True)
class Occluder:
    """The occluding square, and how its sweep is computed."""

    patch: int
    stride: int
    fill: Fill = "grey"
    seed: int = 0
    engine: Engine = "auto"
    memory_mb: int = 1024
    whole_files: bool = False
    positions: bool = False


def occlusion_request(
    database: Database,
    settings: Settings,
    *,
    dataset: str | None,
    images: ImageChoice,
    layer: str,
    unit: int | None,
    target: str | None,
    occluder: Occluder,
    network: NetworkOptions,
    shards: int | None,
) -> OcclusionSpecification:
    """Validate the request and return the specification of an occlusion sweep.

    Raises
    ------
    NoSuchDataset, NoSuchSplit, EmptySplit, NoSuchImage, NoSuchRun, NoTrainedNetwork, NoSuchLayer,
    NotAConvolution, AmbiguousLayer, NoSuchUnit, UsageError, and the errors of ``choose_network``
    """
    with database.read() as session:
        row = dataset_of_network(session, dataset, network)
        split, numbers = chosen_images(session, row, images)
    chosen = choose_network(database, settings, row, network)
    description = chosen.description
    swept = description.find_convolution(layer)
    if unit is not None and unit >= swept.units:
        raise NoSuchUnit(layer=layer, unit=unit, last=swept.units - 1)
    _check_fit(chosen, row, occluder.patch)
    with database.read() as session:
        top9 = _search(session, row, chosen, swept)
    specification = OcclusionSpecification(
        dataset_id=row.id,
        dataset_fingerprint=row.fingerprint,
        split=split,
        images=numbers,
        network=description.specification,
        weights_sha256=chosen.sha256,
        weights_path=chosen.path,
        training_job_id=chosen.training_job_id,
        layer=swept.name or swept.path,
        path=swept.path,
        unit=unit,
        target=None if target is None else class_index(row, target),
        top9_key=top9.key if top9 else None,
        top9_job_id=top9.id if top9 else None,
        shards=shards,
        **vars(occluder),
    )
    return with_default_shards(database, specification, shards, ("sweep", "draw"), len(numbers))


def _check_fit(chosen: ChosenNetwork, dataset: Dataset, patch: int) -> None:
    network = chosen.description.specification
    if patch > network.image_size:
        reason = f"A square of {patch} pixels is larger than the network's input of {network.image_size} pixels."
        raise UsageError(reason=reason)
    if network.classes != len(dataset.class_names):
        reason = (
            f"The network has {network.classes} classes, but data set {dataset.name} has "
            f"{len(dataset.class_names)}: the probability of the true class is undefined."
        )
        raise UsageError(reason=reason)


def _search(session: Session, dataset: Dataset, chosen: ChosenNetwork, layer: LayerDescription) -> Job | None:
    """Find the latest finished deconvnet search of all units of the layer, with these weights on this data set."""
    query = select(Job).where(Job.kind == "top9", Job.state == JobState.DONE, Job.dataset_id == dataset.id)
    for job in session.scalars(query.order_by(Job.id.desc())):
        try:
            search: Any = parse(job.kind, job.specification)
        except SpecificationNotReadable:  # made by another version
            continue
        by_deconvnet = [entry for entry in search.layers if search.method_of(entry) == "deconvnet"]
        searched = {entry.path: len(entry.units) for entry in by_deconvnet}
        if search.weights_sha256 == chosen.sha256 and searched.get(layer.path) == layer.units:
            return job
    return None
