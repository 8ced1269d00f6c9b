"""Cost of a top-9 search: numbers of its files and their sizes."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from producer.cost.pictures import PROJECTION_SHARE, crop_bytes, png_share
from producer.kinds.estimates import Estimate, Storage
from producer.networks.description import describe
from shared.database.connection import Database
from shared.database.datasets import Dataset
from shared.jobs.tables import Job
from shared.kinds.registry import parse
from shared.kinds.top9.specification import Top9Specification
from shared.kinds.top9.tables import SearchedLayer
from shared.settings import Settings

RANKED_BYTES = 20  # activation, image, row and column
MAXIMUM_BYTES = 4
FILE_BYTES = 4096  # names and shapes of the arrays of an intermediate result
SHEET_BYTES = 32_000  # a unit's part of a contact sheet
PART_BYTES = 85_000  # and before it is encoded


def storage(database: Database, settings: Settings, specification: Top9Specification) -> Storage:
    """Add up the intermediate results, and the pictures of all units as if none were dead."""
    network, top = specification.network, specification.top
    with database.read() as session:
        classes = len(session.get_one(Dataset, specification.dataset_id).class_names)
    units = sum(len(layer.units) for layer in specification.layers)
    searches = sum(shard.stage == "search" for shard in specification.plan())
    rankings = 1 + specification.bottom + specification.per_class * classes
    partials = searches * (units * top * rankings * RANKED_BYTES + FILE_BYTES)
    # A search that screens its images keeps the maxima of some in both precisions.
    partials += specification.image_count * units * MAXIMUM_BYTES * (2 if specification.screen else 1)
    kept = specification.image_count * units * MAXIMUM_BYTES
    merged = units * top * (RANKED_BYTES + 1) + FILE_BYTES
    files, size = searches + 1, partials + merged
    if specification.maxima:
        files, size = files + len(specification.layers), size + kept
    # Without them, those of one layer at a time are written while they are merged.
    largest = max(len(layer.units) for layer in specification.layers)
    temporary = 0 if specification.maxima else kept * largest // units
    if specification.projection is None:
        return Storage(files, size, temporary)
    share = png_share(database, specification.dataset_id, network.image_size)
    fields = {layer.path: layer.receptive_field for layer in describe(database, network, settings).in_order()}
    projects = sum(shard.stage == "project" for shard in specification.plan())
    files += projects + len(specification.layers)
    for layer in specification.layers:
        field = fields[layer.path] or network.image_size
        of_unit = SHEET_BYTES + PART_BYTES
        for kind_share in (share, PROJECTION_SHARE):
            of_unit += top * crop_bytes(field, network.image_size, kind_share)
        files += 2 * len(layer.units)
        size += len(layer.units) * of_unit
    return Storage(files, size, temporary)


def same_speed(specification: Top9Specification) -> Any:
    """Return the network, the layers, and what else is computed."""
    layers = [layer.path for layer in specification.layers]
    others = (
        specification.projection,
        specification.bottom,
        specification.per_class,
        specification.screen,
        specification.distinct,
    )
    return specification.network, layers, specification.top, *others


def same_files(specification: Top9Specification) -> Any:
    """Return what determines which units are dead, and whether each picture is a file, as in earlier versions."""
    inputs = specification.weights_sha256, specification.dataset_fingerprint
    return same_speed(specification), *inputs, specification.units_of_shard is None, specification.maxima


def wrote_all(session: Session, job_id: int) -> bool:
    """Return whether a search kept its maxima, or was not to keep them: versions before schema 0021 kept none."""
    without = select(SearchedLayer.id).where(SearchedLayer.job_id == job_id, SearchedLayer.maxima_path.is_(None))
    if session.scalar(without.limit(1)) is None:
        return True
    specification = parse("top9", session.get_one(Job, job_id).specification)
    assert isinstance(specification, Top9Specification)  # noqa: S101 - of a top-9 job
    return not specification.maxima


ESTIMATE = Estimate(
    images=lambda specification: specification.image_count,
    storage=storage,
    same_speed=same_speed,
    same_files=same_files,
    wrote_all=wrote_all,
)
