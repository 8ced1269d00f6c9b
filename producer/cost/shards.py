"""Number of shards of a search, if the request doesn't name it: by its work.

Small shards are lost less with a worker and are shared out more evenly; each costs some files and transactions.
"""

from __future__ import annotations

from producer.cost.history import earlier_jobs, measured_speeds
from producer.cost.storage import estimate_of
from shared.database.connection import Database
from shared.kinds.specification import Specification

SHARD_SECONDS = 60.0
IMAGES_PER_SECOND = 32.0  # without an earlier job: VGG-16 on a few cores; other networks' shards are shorter
MOST_SHARDS = 1000


def shards_by_work(database: Database, specification: Specification, stage: str, images: int, least: int) -> int:
    """Return the number of shards of ``images`` that take about a minute each, at least ``least``.

    The speed is that of the slowest device that ran the stage in the newest such job. Results don't depend on it,
    and the number is kept in the job's specification.
    """
    estimate = estimate_of(specification.kind)
    speeds = []
    if estimate:
        with database.read() as session:
            earlier = [job.id for job, _ in earlier_jobs(session, specification, estimate.same_speed)]
            speeds = measured_speeds(session, earlier).get(stage, [])
    per_second = min((speed.per_second for speed in speeds), default=IMAGES_PER_SECOND)
    return max(least, min(MOST_SHARDS, round(images / per_second / SHARD_SECONDS)))
