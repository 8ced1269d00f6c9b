"""Validation of a request for an occlusion sweep, before a job is created: images, unit, and occluder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from producer.networks.choice import ChosenNetwork, NetworkOptions, choose_network
from shared.database.catalogue import class_index, default_split, find_dataset, find_split
from shared.database.connection import Database
from shared.database.datasets import Dataset, Image, ImageSplit
from shared.errors import NoSuchImage, SpecificationNotReadable, UsageError
from shared.jobs.tables import Job, JobState
from shared.kinds.occlusion.specification import OcclusionSpecification
from shared.kinds.registry import parse
from shared.settings import Settings
from unitscope.description import LayerDescription
from unitscope.errors import NoSuchUnit
from unitscope.spelling import spellings
from unitscope.vocabulary import Engine, Fill


@dataclass(frozen=True)
class ImageChoice:
    """The images to sweep: some or all of a split, or files, or ids."""

    split: str | None = None
    class_name: str | None = None  # None: all classes
    count: int | None = None  # None: all images
    paths: Sequence[Path] = ()
    ids: Sequence[int] = ()


@dataclass(frozen=True)
class Occluder:
    """The occluding square, and how its sweep is computed."""

    patch: int
    stride: int
    fill: Fill = "grey"
    seed: int = 0
    engine: Engine = "auto"
    approximate: float = 0.0
    memory_mb: int = 1024
    whole_files: bool = False
    positions: bool = False


def occlusion_request(
    database: Database,
    settings: Settings,
    *,
    dataset: str,
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
        row = find_dataset(session, dataset)
        split, numbers = _chosen_images(session, row, images)
    chosen = choose_network(database, settings, row, network)
    description = chosen.description
    swept = description.find_convolution(layer)
    if unit is not None and unit >= swept.units:
        raise NoSuchUnit(layer=layer, unit=unit, last=swept.units - 1)
    _check_fit(chosen, row, occluder.patch)
    with database.read() as session:
        top9 = _search(session, row, chosen, swept)
    return OcclusionSpecification(
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


def _chosen_images(session: Session, dataset: Dataset, choice: ImageChoice) -> tuple[str | None, list[int]]:
    """Return the split (None for files and ids) and the numbers of the images in the data set, ascending."""
    ids = list(session.scalars(select(Image.id).where(Image.dataset_id == dataset.id).order_by(Image.id)))
    number = {image: number for number, image in enumerate(ids)}
    if choice.paths or choice.ids:
        wrong = [image for image in choice.ids if image not in number]
        if wrong:
            raise NoSuchImage(dataset=dataset.name, image=wrong[0])
        by_path = [image for path in choice.paths for image in _images_of_file(session, dataset, path)]
        return None, sorted({number[image] for image in [*choice.ids, *by_path]})
    split, _ = find_split(session, dataset, choice.split or default_split(session, dataset))
    query = select(Image.id).join(ImageSplit, ImageSplit.image_id == Image.id)
    query = query.where(ImageSplit.dataset_id == dataset.id, ImageSplit.split == split).order_by(Image.id)
    if choice.class_name is not None:
        query = query.where(Image.class_index == class_index(dataset, choice.class_name))
    members = list(session.scalars(query))
    if not members:
        raise UsageError(
            reason=f"Split '{split}' of data set '{dataset.name}' has no image of class '{choice.class_name}'."
        )
    return split, [number[image] for image in _spread(members, choice.count)]


def _spread(members: Sequence[int], count: int | None) -> list[int]:
    """Choose ``count`` members, evenly spread because data sets are often sorted by class."""
    count = min(count or len(members), len(members))
    return [members[(2 * index + 1) * len(members) // (2 * count)] for index in range(count)]


def _images_of_file(session: Session, dataset: Dataset, path: Path) -> list[int]:
    """Return the ids of a file's images. The path is relative to the working directory or the data set's root, in
    any Unicode spelling."""
    root, absolute = Path(dataset.root), Path(os.path.abspath(path))
    above = next((folder for folder in absolute.parents if folder.resolve() == root.resolve()), None)
    given = [str(path), *([str(absolute.relative_to(above))] if above else [])]
    names = {name for typed in given for name in spellings(typed)}
    of_dataset = Image.dataset_id == dataset.id
    ids = list(session.scalars(select(Image.id).where(of_dataset, Image.path.in_(names))))
    if not ids:  # a file that is linked into the data set, by its own path
        same_name = (
            or_(Image.path == name, Image.path.endswith(f"/{name}", autoescape=True))
            for name in spellings(path.name)
        )
        rows = session.execute(select(Image.id, Image.path).where(of_dataset, or_(*same_name)))
        ids = [image for image, name in rows if _is_same_file(root / name, absolute)]
    if not ids:
        raise NoSuchImage(dataset=dataset.name, image=path)
    return ids


def _is_same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one of them is missing
        return False


def _search(session: Session, dataset: Dataset, chosen: ChosenNetwork, layer: LayerDescription) -> Job | None:
    """Find the latest finished deconvnet search of all units of the layer, with these weights on this data set."""
    query = select(Job).where(Job.kind == "top9", Job.state == JobState.DONE, Job.dataset_id == dataset.id)
    for job in session.scalars(query.order_by(Job.id.desc())):
        try:
            search: Any = parse(job.kind, job.specification)
        except SpecificationNotReadable:  # made by another version
            continue
        searched = {entry.path: len(entry.units) for entry in search.layers}
        same = search.weights_sha256 == chosen.sha256 and search.projection == "deconvnet"
        if same and searched.get(layer.path) == layer.units:
            return job
    return None
