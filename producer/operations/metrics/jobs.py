"""Metrics of jobs, and of the shards that workers run."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from producer.operations.metrics.families import gauges, is_held, zeros
from shared.database.base import utc_now
from shared.jobs.ledger import RESUMED
from shared.jobs.tables import Job, JobState, LeftOutImage, Shard, ShardState
from shared.kinds import kind_names


def job_metrics(session: Session) -> Iterator[Metric]:
    """Count jobs, their shards, their files, and the images that they left out."""
    jobs: dict[tuple[str, ...], float] = {(kind, state): 0 for kind in kind_names() for state in JobState}
    stored: dict[tuple[str, ...], float] = {(kind,): 0 for kind in kind_names()}
    left_out = dict(stored)
    by_state = select(Job.kind, Job.state, func.count(), func.sum(Job.stored_bytes)).group_by(Job.kind, Job.state)
    for kind, state, count, size in session.execute(by_state):
        jobs[kind, state] = count
        stored[(kind,)] = stored.get((kind,), 0) + float(size)
    query = select(Job.kind, func.count()).join(LeftOutImage, LeftOutImage.job_id == Job.id).group_by(Job.kind)
    for kind, count in session.execute(query):
        left_out[(kind,)] = count
    yield gauges("jobs", "Jobs", ["kind", "state"], jobs)
    yield gauges("job_stored_bytes", "Size of the files that jobs wrote first", ["kind"], stored)
    yield gauges("left_out_images", "Broken images that jobs left out of their results", ["kind"], left_out)
    shards: dict[tuple[str, ...], float] = {(state,): 0 for state in ShardState}
    for state, count in session.execute(select(Shard.state, func.count()).group_by(Shard.state)):
        shards[(state,)] = count
    yield gauges("shards", "Shards", ["state"], shards)


def running_metrics(session: Session) -> Iterator[Metric]:
    """Describe the shards that workers run. Finished ones are in the counters."""
    resumed = func.coalesce(Shard.payload[RESUMED].as_integer(), 0)  # work of earlier attempts
    query = (
        select(Job.kind, Shard.stage_name, Shard.work_done, resumed, Shard.started_at)
        .join(Job, Job.id == Shard.job_id)
        .where(is_held(), Job.state == JobState.RUNNING)
    )
    running, oldest, in_progress = zeros(), zeros(), zeros()
    speeds: dict[tuple[str, ...], float] = {}
    now = utc_now()
    for kind, stage, done, before, began in session.execute(query):
        labels = kind, stage
        seconds = max((now - began).total_seconds(), 0.0) if began else 0.0
        running[labels] = running.get(labels, 0) + 1
        oldest[labels] = max(oldest.get(labels, 0), seconds)
        in_progress[labels] = in_progress.get(labels, 0) + done
        if seconds > 0:
            speeds[labels] = speeds.get(labels, 0) + max(done - before, 0) / seconds
    of_stage = ["kind", "stage"]
    yield gauges("running_shards", "Shards that workers run", of_stage, running)
    yield gauges("oldest_running_shard_seconds", "Longest time that one of them runs", of_stage, oldest)
    help_text = "Work done so far by the running shards, in images or what the stage counts"
    yield gauges("work_in_progress", help_text, of_stage, in_progress)
    help_text = "Speed of the running shards since each began, in images per second or what the stage counts"
    yield gauges("work_per_second", help_text, of_stage, dict(sorted(speeds.items())))
