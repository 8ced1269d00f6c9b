"""Validation of a request for feature maps, before a job is created: images, files, and layers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from producer.cost.shards import with_default_shards
from producer.datasets.choice import ImageChoice, chosen_images
from producer.kinds.features.files import store_image_files
from producer.networks.choice import NetworkOptions, choose_network, dataset_of_network
from shared.database.connection import Database
from shared.errors import UsageError
from shared.kinds.features.specification import FeaturesSpecification, ShownLayer
from shared.settings import Settings
from unitscope.errors import InvalidArgument
from unitscope.features.layers import find_layers, layers_with_maps
from unitscope.vocabulary import Scale


def features_request(
    database: Database,
    settings: Settings,
    *,
    dataset: str | None,
    images: ImageChoice,
    files: Sequence[Path],
    whole_files: bool,
    layers: Sequence[str],
    scale: Scale,
    arrays: bool,
    network: NetworkOptions,
    shards: int | None,
) -> FeaturesSpecification:
    """Validate the request and return the specification of a job of feature maps.

    Raises
    ------
    NoSuchDataset, NoSuchSplit, EmptySplit, NoSuchImage, NoSuchFile, ImageNotReadable, NoSuchRun, NoTrainedNetwork,
    NoSuchLayer, AmbiguousLayer, InvalidArgument, UsageError, and the errors of ``choose_network``
    """
    if arrays and not layers:
        raise UsageError(reason="--arrays needs --layer: it stores the maps of the layers that are named.")
    with database.read() as session:
        row = dataset_of_network(session, dataset, network)
        split, numbers = None, list[int]()
        if images != ImageChoice() or not files:
            split, numbers = chosen_images(session, row, images)
    chosen = choose_network(database, settings, row, network)
    runs = layers_with_maps(chosen.description)
    if not runs:
        name = chosen.description.specification.name
        raise InvalidArgument(reason=f"No layer of {name} outputs feature maps (channels, rows, columns).")
    drawn = find_layers(chosen.description, layers)
    specification = FeaturesSpecification(
        dataset_id=row.id,
        dataset_fingerprint=row.fingerprint,
        split=split,
        images=numbers,
        files=store_image_files(database, settings, files),
        whole_files=whole_files,
        network=chosen.description.specification,
        weights_sha256=chosen.sha256,
        weights_path=chosen.path,
        training_job_id=chosen.training_job_id,
        layers=[
            ShownLayer(
                layer=run.description.label,
                path=run.path,
                call=run.call,
                kind=run.description.kind,
                channels=run in drawn,
            )
            for run in runs
        ],
        scale=scale,
        arrays=arrays,
        shards=shards,
    )
    return with_default_shards(database, specification, shards, ("extract",), specification.image_count)
