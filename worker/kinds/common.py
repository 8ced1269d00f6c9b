"""Functions shared by the kinds of job: images from the database, networks with weights, artifacts."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from sqlalchemy import ColumnElement, Select, Table, delete, exists, func, select
from sqlalchemy.orm import Session
from torch import nn

from shared.database.base import Base, utc_now
from shared.database.catalogue import turns_images
from shared.database.datasets import Dataset, Image, ImageSplit
from shared.errors import NoUsableImage
from shared.jobs.files import register_files
from shared.jobs.left_out import LEFT_OUT, left_out_summary, suspected_hosts
from shared.jobs.removal import delete_some
from shared.jobs.tables import LeftOutImage, Shard
from shared.jobs.transitions import add_event
from shared.store.references import rows_of_job
from shared.store.store import StoredFile
from unitscope.data.images import ImageSource, Skipped
from unitscope.data.pixel_cache import PixelCache, open_cache
from unitscope.description import NetworkSpecification
from unitscope.networks.checkpoints import read_safetensors
from unitscope.networks.placement import place
from unitscope.networks.weights import load_weights
from worker.context import JobContext
from worker.networks.build import build, require_permission
from worker.runner import ShardContext, worker_name

Value = TypeVar("Value")

ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")  # of an object, in a message of Pillow: it differs between attempts

logger = logging.getLogger(__name__)


def split_sources(context: JobContext, split: str, start: int = 0, stop: int | None = None) -> list[ImageSource]:
    """Return the images ``start`` to ``stop`` (exclusive) of a split, in ascending order of their ids."""
    dataset_id = context.specification.dataset_id
    query = (
        _numbered(dataset_id)
        .join(ImageSplit, ImageSplit.image_id == Image.id)
        .where(ImageSplit.dataset_id == dataset_id, ImageSplit.split == split)
        .order_by(Image.id)
        .offset(start)
        .limit(None if stop is None else stop - start)
    )
    return _sources(context, dataset_id, query)


def sources_by_id(context: JobContext, image_ids: Sequence[int]) -> dict[int, ImageSource]:
    """Return images by their ids."""
    dataset_id = context.specification.dataset_id
    sources: dict[int, ImageSource] = {}
    for chunk in _chunks(image_ids):
        query = _numbered(dataset_id).where(Image.id.in_(chunk))
        sources |= {source.id: source for source in _sources(context, dataset_id, query)}
    return sources


def numbered_images(
    context: JobContext, numbers: Sequence[int], *, whole_files: bool = False
) -> list[tuple[Image, ImageSource]]:
    """Return the images at these positions in the data set, in the given order, with their sources: the objects'
    boxes, or the whole files."""
    dataset_id = context.specification.dataset_id
    images: dict[int, tuple[Image, ImageSource]] = {}
    with context.database.read() as session:
        dataset = session.get_one(Dataset, dataset_id)
        for chunk in _chunks(numbers):
            listed = _numbered(dataset_id).subquery()
            ids = select(listed.c.id).where(listed.c.position.in_(chunk))
            for image, position in session.execute(_numbered(dataset_id).where(Image.id.in_(ids))):
                source = _source(dataset, image, position)
                images[position] = image, replace(source, box=None) if whole_files else source
    return [images[number] for number in numbers]


def _chunks(values: Sequence[Value]) -> Iterator[Sequence[Value]]:
    """Split values into chunks below the database's limit of bound parameters."""
    return (values[start : start + 5000] for start in range(0, len(values), 5000))


def _numbered(dataset_id: int) -> Select[Image, int]:
    """Return a query for images and their positions in the data set, which are their record numbers in the pixel
    cache."""
    position = (func.row_number().over(order_by=Image.id) - 1).label("position")
    numbers = select(Image.id, position).where(Image.dataset_id == dataset_id).subquery()
    return select(Image, numbers.c.position).join(numbers, numbers.c.id == Image.id)


def _sources(context: JobContext, dataset_id: int, query: Select[Image, int]) -> list[ImageSource]:
    with context.database.read() as session:
        dataset = session.get_one(Dataset, dataset_id)
        rows = session.execute(query).all()
    return [_source(dataset, image, position) for image, position in rows]


def _source(dataset: Dataset, image: Image, position: int) -> ImageSource:
    path, upright = Path(dataset.root) / image.path, turns_images(dataset.options)
    return ImageSource(image.id, path, image.class_index, image.box, image.sha256, position, upright)


def pixel_cache(context: JobContext, size: int) -> PixelCache | None:
    """Open the cache of the data set's images, decoded and resized to ``size`` x ``size``; None if caching is off
    or the cache can't be used."""
    if not context.cache_bytes:
        return None
    dataset_id = context.specification.dataset_id
    with context.database.read() as session:
        fingerprint = session.get_one(Dataset, dataset_id).fingerprint
        count = session.scalar(select(func.count()).where(Image.dataset_id == dataset_id)) or 0
    cache = open_cache(context.cache_folder, fingerprint, count, size, context.cache_bytes)
    if cache is None:
        logger.info("job %d: decoded images are not cached", context.job_id)
    return cache


def load_network(context: JobContext, specification: NetworkSpecification, weights_path: str) -> nn.Module:
    """Return the network with weights from the artifact store, in evaluation mode, on the context's device.

    The network is cached for the next shard, so it must not be modified.
    """
    require_permission(context, specification)
    context.store.locate(weights_path)
    key = (specification, context.store.root, weights_path, context.device)
    if key not in _network_cache:
        clear_network_cache()  # first, since the device's memory may not hold two networks
        _network_cache[key] = _load_network(context, specification, weights_path)
    return _network_cache[key]


# Holds at most one network, since shards of a job usually follow one another. The path identifies the weights.
_network_cache: dict[tuple[NetworkSpecification, Path, str, torch.device], nn.Module] = {}


def clear_network_cache() -> None:
    """Remove the cached network, to free the device's memory."""
    _network_cache.clear()


def _load_network(context: JobContext, specification: NetworkSpecification, weights_path: str) -> nn.Module:
    weights = context.store.verified_once(weights_path)
    model = build(context, specification)
    # Not ``read_weights``: the file may be from an imported job, and other formats can expand to any size.
    load_weights(model, read_safetensors(weights), specification.name, weights)
    return place(model.eval(), context.device)


def warn_of_memory(context: ShardContext, unit: str = "images per batch") -> Callable[[int], None]:
    """Return a function to call with the smaller number of ``unit`` with which a computation continues."""
    return lambda count: context.log("warning", f"out of memory: continuing with {count} {unit}")


def report_skipped(context: ShardContext, skipped: Sequence[Skipped]) -> None:
    """Log images that were left out, before the shard fails because of them."""
    for item in skipped:
        context.log("warning", _left_out(item))


def _left_out(item: Skipped) -> str:
    return f"image {item.source.id} ({item.source.path}) left out: {item.reason}"


def record_left_out(
    context: ShardContext, session: Session, sources: Iterable[ImageSource], skipped: Sequence[Skipped]
) -> None:
    """Record which of the images ``sources`` a shard left out, in place of what an earlier attempt recorded.

    Call it in the transaction that writes the shard's results. Each image is also named in the job's log.
    """
    job_id, worker = context.claim.job_id, worker_name()
    of_job = LeftOutImage.job_id == job_id
    again = {source.id for source in sources}
    recorded = set(session.scalars(select(LeftOutImage.image_id).where(of_job)))
    for chunk in _chunks(sorted(recorded & again)):
        session.execute(delete(LeftOutImage).where(of_job, LeftOutImage.image_id.in_(chunk)))
    new = [item for item in skipped if item.source.id not in recorded - again]
    for item in new:
        add_event(session, job_id, context.claim.shard_id, "warning", _left_out(item))
    session.add_all(
        LeftOutImage(
            job_id=job_id,
            image_id=item.source.id,
            stage=context.claim.stage_name,
            reason=ADDRESS.sub("", item.reason),
            worker=worker,
        )
        for item in new
    )
    if skipped:  # for `analyze retry`
        shard = session.get_one(Shard, context.claim.shard_id)
        shard.payload = {**shard.payload, LEFT_OUT: len(skipped)}


def summarize_left_out(context: ShardContext, session: Session) -> dict[str, Any]:
    """Return the entries of the job's summary about images that were left out (``left_out_summary``), and log
    machines whose files are suspected to differ from those of the others."""
    session.flush()
    for suspect in suspected_hosts(session, context.claim.job_id):
        add_event(session, context.claim.job_id, None, "error", str(suspect))
    return left_out_summary(session, context.claim.job_id)


def remove_results(context: ShardContext, tables: Sequence[type[Base]]) -> None:
    """Delete the job's rows of these tables, of which a table comes after those that it refers to.

    A stage calls it before it writes rows in several transactions: those of an earlier attempt may have been
    computed from other images. The rows are deleted in transactions small enough to let others write in between.
    """
    for model in reversed(tables):
        table = cast(Table, model.__table__)
        condition = rows_of_job(table, context.claim.job_id)
        assert condition is not None  # noqa: S101 - tables of results have rows of jobs

        def delete_rows(
            session: Session, table: Table = table, condition: ColumnElement[bool] = condition
        ) -> None:
            delete_some(session, table, condition)

        while _has_rows(context, condition):
            context.record(delete_rows)
            context.progress(0)


def _has_rows(context: ShardContext, condition: ColumnElement[bool]) -> bool:
    with context.database.read() as session:
        return bool(session.scalar(select(exists().where(condition))))


def require_some(context: ShardContext, skipped: int, count: int) -> None:
    """Check that not all of ``count`` images were left out.

    Raises
    ------
    NoUsableImage
    """
    if skipped >= count:
        with context.database.read() as session:
            root = session.get_one(Dataset, context.specification.dataset_id).root
        raise NoUsableImage(count=count, root=root, job_id=context.claim.job_id)


def register_artifacts(context: ShardContext, session: Session, files: Sequence[StoredFile]) -> None:
    """Register files of the store in ``artifacts``, unless another job has registered them, and count their bytes.

    Call it in ``context.complete``, or in ``context.record`` with ``locks_job``."""
    context.store.make_durable(file.path for file in files)
    job_id = context.claim.job_id
    rows = [
        {"path": file.path, "sha256": file.sha256, "bytes": file.bytes, "job_id": job_id, "created_at": utc_now()}
        for file in sorted(set(files), key=lambda file: file.path)  # a fixed order avoids deadlocks between jobs
    ]
    for chunk in _chunks(rows):
        register_files(session, job_id, chunk)


def stage_results(context: ShardContext, stage: str) -> list[str]:
    """Return the result paths of a stage's shards in this job, in the order of the shards."""
    with context.database.read() as session:
        query = select(Shard.result_path).where(Shard.job_id == context.claim.job_id, Shard.stage_name == stage)
        return [path for path in session.scalars(query.order_by(Shard.number)) if path]
