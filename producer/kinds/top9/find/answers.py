"""Answers to questions about kept maxima, as rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from sqlalchemy import select

from producer.kinds.top9.distinct import note_duplicates
from producer.kinds.top9.find.kept import KeptMaxima
from producer.kinds.top9.find.query_image import QueryImage
from producer.kinds.top9.find.units_text import LayerUnit
from shared.database.catalogue import class_index
from shared.database.connection import Database
from shared.database.datasets import Image
from shared.errors import UsageError
from shared.kinds.top9.images import image_groups, kind_of_distinct
from unitscope.errors import NotFinite
from unitscope.find.combinations import combined_images
from unitscope.find.exceptional import FoundUnit, exceptional_units
from unitscope.find.layer import LayerMaxima
from unitscope.find.nearest import nearest_images
from unitscope.find.order import Found, first_of_groups
from unitscope.find.similar import SimilarUnit, similar_units
from unitscope.vocabulary import Combination, Metric

IDS_AT_ONCE = 5_000


@dataclass(frozen=True)
class FoundImage:
    """An image, its value in the question, and its activations of the question's units, in their order."""

    rank: int
    value: float
    image_id: int
    image_path: str
    class_name: str
    activations: list[float]


def find_images(
    database: Database,
    kept: KeptMaxima,
    units: Sequence[LayerUnit],
    combination: Combination,
    absent: Sequence[LayerUnit],
    class_name: str | None,
    count: int,
    memory: int,
    distinct: bool = False,
) -> list[FoundImage]:
    """Find the images that several units respond to together: see ``combined_images``.

    Raises
    ------
    NoSuchClass, NotFinite, InvalidArgument
    """
    find = partial(
        combined_images,
        [layer.unit_values(unit) for layer, unit in units],
        combination,
        [layer.unit_values(unit) for layer, unit in absent],
        _of_class(kept, class_name),
        memory=memory,
    )
    positions, values = _best(database, kept, lambda some: find(count=some), count, distinct)
    return _rows(database, kept, units, positions, values)


def find_like(
    database: Database,
    kept: KeptMaxima,
    query: QueryImage,
    units: Sequence[LayerUnit],
    metric: Metric,
    class_name: str | None,
    count: int,
    memory: int,
    distinct: bool = False,
) -> list[FoundImage]:
    """Find the images nearest to one, which is not among them: see ``nearest_images``.

    Raises
    ------
    NoSuchClass, NotFinite, InvalidArgument
    """
    allowed = _of_class(kept, class_name)
    if query.position is not None:
        allowed = np.ones(len(kept.images.ids), bool) if allowed is None else allowed
        allowed[query.position] = False
    find = partial(
        nearest_images,
        [layer.unit_values(unit) for layer, unit in units],
        np.array([query.activations[layer.path][layer.index(unit)] for layer, unit in units], np.float32),
        metric,
        allowed,
        memory=memory,
    )
    positions, values = _best(database, kept, lambda some: find(count=some), count, distinct)
    return _rows(database, kept, units, positions, values)


def find_units(
    kept: KeptMaxima, query: QueryImage, layers: Sequence[LayerMaxima], count: int, memory: int
) -> list[FoundUnit]:
    """Find the units that an image activates: see ``exceptional_units``.

    Raises
    ------
    NotFinite
        An active unit is NaN or infinite on the image.
    InvalidArgument
    """
    others = len(kept.images.ids) - (query.position is not None)
    activations = [query.activations[layer.path] for layer in layers]
    return exceptional_units(layers, activations, others, count, memory)


def find_similar(
    kept: KeptMaxima,
    unit: LayerUnit,
    other: KeptMaxima,
    layers: Sequence[LayerMaxima],
    ranks: bool,
    count: int,
    memory: int,
) -> list[SimilarUnit]:
    """Find the units of a search that respond like one of a search, over the images that both used.

    Raises
    ------
    UsageError
        The searches have fewer than two images in common.
    NotFinite
        The unit has a value that is NaN or infinite.
    """
    layer, number = unit
    values = layer.maxima[layer.index(number)]
    positions: np.ndarray | None = None
    if not np.array_equal(kept.images.ids, other.images.ids):
        _, own, positions = np.intersect1d(
            kept.images.ids, other.images.ids, assume_unique=True, return_indices=True
        )
        values = values[own]
        if len(values) < 2:
            reason = (
                f"Jobs {kept.job_id} and {other.job_id} have no images in common. Search the same split twice."
            )
            raise UsageError(reason=reason)
    if not np.isfinite(values).all():
        raise NotFinite(where=f"On some image unit {number} of {layer.name}", value="NaN or infinity")
    own_unit = (layer.path, number) if other.job_id == kept.job_id else None
    return similar_units(layers, values, ranks, positions, count, memory, own_unit)


def _best(database: Database, kept: KeptMaxima, find: Callable[[int], Found], count: int, distinct: bool) -> Found:
    """Return the best images, with ``distinct`` only one of each group of images that show the same."""
    if not distinct:
        return find(count)
    dataset_id, split = kept.dataset.id, kept.specification.split
    with database.read() as session:
        of_split = image_groups(session, dataset_id, split, kind_of_distinct(session, dataset_id, split))
    groups = of_split.of(kept.images.ids)
    note_duplicates(groups, f"job {kept.job_id}")
    return first_of_groups(find, groups, count)


def _of_class(kept: KeptMaxima, class_name: str | None) -> np.ndarray | None:
    if class_name is None:
        return None
    allowed: np.ndarray = kept.images.labels == class_index(kept.dataset, class_name)
    return allowed


def _rows(
    database: Database,
    kept: KeptMaxima,
    units: Sequence[LayerUnit],
    positions: np.ndarray,
    values: np.ndarray,
) -> list[FoundImage]:
    ids = kept.images.ids[positions].tolist()
    images: dict[int, tuple[str, str]] = {}
    with database.read() as session:
        for start in range(0, len(ids), IDS_AT_ONCE):
            some = Image.id.in_(ids[start : start + IDS_AT_ONCE])
            for image_id, path, name in session.execute(
                select(Image.id, Image.path, Image.class_name).where(some)
            ):
                images[image_id] = path, name
    activations = np.array([layer.maxima[layer.index(unit)][positions] for layer, unit in units])
    return [
        FoundImage(rank, value, image_id, *images[image_id], activations[:, rank - 1].tolist())
        for rank, (image_id, value) in enumerate(zip(ids, values.tolist(), strict=True), 1)
    ]
