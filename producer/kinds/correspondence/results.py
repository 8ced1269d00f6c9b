"""Result tables of a correspondence job: by part and layer, by pair of images, and by image and part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session, aliased, join

from producer.results.conditions import layer_of, of_images
from producer.results.filters import EVERYTHING, Filters
from producer.results.jobs import job_of_kind
from producer.results.tables import Column, ComputedTable, ResultTable, columns_of
from shared.database.connection import Database
from shared.database.datasets import Image
from shared.jobs.tables import Job
from shared.kinds.correspondence.tables import CorrespondenceImage, CorrespondencePair, CorrespondencePart
from shared.kinds.registry import specification_values
from unitscope.correspondence.reported import RANDOM, reported_distance


@dataclass(frozen=True)
class CorrespondenceRow:
    """A part and a layer: a row of the view ``correspondence``, with the values that the paper reports."""

    part: str
    layer: str
    images: int
    pairs: int
    distance: float | None
    spread: float | None
    random_distance: float | None
    random_spread: float | None
    below_chance: float | None
    reported_distance: float | None
    reported_random: float | None


@dataclass(frozen=True)
class PairRow:
    """A pair of images: a row of the view ``correspondence_pairs``."""

    part: str
    layer: str
    image_id: int
    image_path: str
    other_image_id: int
    other_image_path: str
    distance: float
    random_distance: float


@dataclass(frozen=True)
class MaskedImageRow:
    """An image and a part: a row of the view ``correspondence_images``."""

    image_id: int
    image_path: str
    class_name: str
    part: str
    boxes: int
    masked_share: float
    array_path: str
    picture_path: str


def _parts(database: Database, job_id: int, filters: Filters = EVERYTHING) -> Sequence[CorrespondenceRow]:
    """Return the rows by part and layer, ordered by part, and by the job's order of layers.

    Raises
    ------
    NoSuchJob, JobNotOfKind, NoSuchModule
    """
    with database.read() as session:
        job = job_of_kind(session, job_id, "correspondence", "correspondence")
        query = select(CorrespondencePart).where(CorrespondencePart.job_id == job_id)
        if filters.layer is not None:
            query = query.where(CorrespondencePart.layer == layer_of(job, filters.layer)["layer"])
        found = list(session.scalars(query))
        layers = specification_values(job.kind, job.specification).get("layers") or []
    order = [layer["layer"] for layer in layers]
    found.sort(key=lambda row: (row.part, order.index(row.layer) if row.layer in order else len(order)))
    names = [name for name in CorrespondenceRow.__dataclass_fields__ if not name.startswith("reported")]
    return [
        CorrespondenceRow(
            **{name: getattr(row, name) for name in names},
            reported_distance=reported_distance(row.part, row.layer),
            reported_random=reported_distance(RANDOM, row.layer),
        )
        for row in found
    ]


def _of_pairs(session: Session, job: Job, filters: Filters) -> list[ColumnElement[bool]]:
    """Turn filters into conditions on ``CorrespondencePair``; an image is one of the pair."""
    clauses: list[ColumnElement[bool]] = []
    if filters.layer is not None:
        clauses.append(CorrespondencePair.layer == layer_of(job, filters.layer)["layer"])
    if filters.images:
        pair = CorrespondencePair
        clauses.append(pair.image_id.in_(filters.images) | pair.other_image_id.in_(filters.images))
    return clauses


CORRESPONDENCE: ComputedTable[CorrespondenceRow] = ComputedTable(
    kind="correspondence",
    title="correspondence",
    row=CorrespondenceRow,
    compute=_parts,
    filters=frozenset({"layer"}),
)

_OTHER = aliased(Image)
PAIR_IMAGES: dict[str, Column] = {"image_path": Image.path, "other_image_path": _OTHER.path}
PAIRS: ResultTable[PairRow] = ResultTable(
    kind="correspondence",
    title="pairs",
    row=PairRow,
    source=join(
        join(CorrespondencePair, Image, Image.id == CorrespondencePair.image_id),
        _OTHER,
        _OTHER.id == CorrespondencePair.other_image_id,
    ),
    columns=columns_of(PairRow, CorrespondencePair, PAIR_IMAGES),
    job=CorrespondencePair.job_id,
    key=(
        CorrespondencePair.part,
        CorrespondencePair.layer,
        CorrespondencePair.image_id,
        CorrespondencePair.other_image_id,
    ),
    filters=frozenset({"layer", "images"}),
    conditions=_of_pairs,
)

IMAGE: dict[str, Column] = {"image_path": Image.path, "class_name": Image.class_name}
MASKED_IMAGES: ResultTable[MaskedImageRow] = ResultTable(
    kind="correspondence",
    title="masked images",
    row=MaskedImageRow,
    source=join(CorrespondenceImage, Image, Image.id == CorrespondenceImage.image_id),
    columns=columns_of(MaskedImageRow, CorrespondenceImage, IMAGE),
    job=CorrespondenceImage.job_id,
    key=(CorrespondenceImage.image_id, CorrespondenceImage.part),
    filters=frozenset({"class_name", "images"}),
    conditions=of_images,
)
