"""Number of shards of a job, if the request doesn't name it: by the job's work.

A worker that dies loses less of small shards, and they are shared out more evenly; each costs some files and
transactions.
"""

from __future__ import annotations

from producer.cost.history import earlier_jobs, measured_speeds
from producer.cost.storage import estimate_of
from shared.database.connection import Database
from shared.kinds.specification import IMAGES_OF_SHARD, Specification

SHARD_SECONDS = 60.0
IMAGES_PER_SECOND = 32.0  # of a search without an earlier job: VGG-16 on a few cores; other networks are faster
LEAST_SHARDS, MOST_SHARDS = 8, 1000


def shards_by_work(
    database: Database,
    specification: Specification,
    stage: str,
    images: int,
    least: int,
    *,
    per_second: float = IMAGES_PER_SECOND,
    seconds: float = SHARD_SECONDS,
) -> int:
    """Return the number of shards of ``images`` that take about a minute each, at least ``least``.

    The speed is that of the slowest device that ran the stage in the newest such job. Results don't depend on it,
    and the number is kept in the job's specification.

    Parameters
    ----------
    per_second
        images that a worker is assumed to compute in a second, if there is no such job.
    seconds
        time of a shard.
    """
    estimate = estimate_of(specification.kind)
    speeds = []
    if estimate:
        with database.read() as session:
            earlier = [job.id for job, _ in earlier_jobs(session, specification, estimate.same_speed)]
            speeds = measured_speeds(session, earlier).get(stage, [])
    speed = min((speed.per_second for speed in speeds), default=per_second)
    return max(least, min(MOST_SHARDS, round(images / speed / seconds)))


def shards_of_slow_images(database: Database, specification: Specification, stage: str, images: int) -> int:
    """Return the number of shards of a kind that takes seconds for an image.

    A shard takes about a minute and has at least eight images; there are at least eight shards if the images
    suffice. Without an earlier job, a shard has eight images.
    """
    most = -(-images // IMAGES_OF_SHARD)
    assumed = IMAGES_OF_SHARD / SHARD_SECONDS
    return min(most, shards_by_work(database, specification, stage, images, LEAST_SHARDS, per_second=assumed))
