"""Number of shards of a job, if the request doesn't name it: by the job's work.

A worker that dies loses less of small shards, and they are shared out more evenly; each costs some files and
transactions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from producer.cost.history import device_of, earlier_jobs, measured_speeds
from producer.cost.storage import estimate_of
from shared.database.connection import Database
from shared.jobs.ledger import Ledger
from shared.kinds.specification import IMAGES_OF_SHARD, Specification

SHARD_SECONDS = 60.0
IMAGES_PER_SECOND = 32.0  # of a search without an earlier job: VGG-16 on a few cores; other networks are faster
LEAST_SHARDS = 8
MOST_SHARDS = 1000  # of a search
MOST_SLOW_SHARDS = 100_000  # which specifications allow

AnySpecification = TypeVar("AnySpecification", bound=Specification)


def shards_by_work(
    database: Database,
    specification: Specification,
    stages: Sequence[str],
    images: int,
    least: int,
    *,
    most: int = MOST_SHARDS,
    per_second: float = IMAGES_PER_SECOND,
    seconds: float = SHARD_SECONDS,
) -> int:
    """Return the number of shards of ``images`` that take about a minute each.

    The speed is that of the slowest device that ran one of the stages in recent jobs of this kind and network, in
    the newest of these jobs there. Devices without a running worker of the stage's queue count for a stage only if
    no device with one has run it.
    Results don't depend on it, and the number is kept in the job's specification.

    Parameters
    ----------
    stages
        those that are cut into these shards.
    least, most
        limits of the number.
    per_second
        images that a worker is assumed to compute in a second, if there is no such job.
    seconds
        time of a shard.
    """
    estimate = estimate_of(specification.kind)
    speeds: list[float] = []
    if estimate:
        with database.read() as session:
            earlier = [job.id for job, _ in earlier_jobs(session, specification, estimate.same_speed)]
            found = measured_speeds(session, earlier, stages)
        workers = Ledger(database).live_workers() if found else []
        queues = {shard.stage: shard.queue for shard in specification.plan()} if found else {}
        for stage, measured in found.items():
            serving = {device_of(worker.name) for worker in workers if queues[stage] in worker.queues}
            of_serving = [speed.per_second for speed in measured if speed.device in serving]
            speeds += of_serving or [speed.per_second for speed in measured]
    return max(least, min(most, round(images / min(speeds, default=per_second) / seconds)))


def with_default_shards(
    database: Database, specification: AnySpecification, shards: int | None, stages: Sequence[str], images: int
) -> AnySpecification:
    """Return the specification of a kind that takes seconds for an image, with a number of shards by its work if
    ``shards``, the number that was asked for, is None.

    A shard takes about a minute and has at least eight images; there are at least eight shards if the images
    suffice. Without an earlier job, a shard has eight images.
    """
    if shards is not None:
        return specification
    most = min(-(-images // IMAGES_OF_SHARD), MOST_SLOW_SHARDS)
    assumed = IMAGES_OF_SHARD / SHARD_SECONDS
    least = min(LEAST_SHARDS, most)
    shards = shards_by_work(database, specification, stages, images, least, most=most, per_second=assumed)
    return specification.model_copy(update={"shards": shards})
