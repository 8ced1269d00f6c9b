"""Jobs, their shards and events, workers, and the files of the artifact store."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.base import ArtifactPath, Base, Sha256, one_of, utc_now
from shared.database.datasets import Dataset


class JobState(StrEnum):
    QUEUED = "queued"  # no shard was claimed yet
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ShardState(StrEnum):
    WAITING = "waiting"  # its stage has not begun
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ACTIVE_JOBS = (JobState.QUEUED, JobState.RUNNING)


class Job(Base):
    """What somebody asked for. ``key`` identifies the result; ``generation`` counts ``--force``."""

    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("key", "generation"),
        one_of("state", JobState),
        CheckConstraint("shards_left >= 0 AND shards_left <= shards_total", name="shards"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    key: Mapped[str] = mapped_column(Sha256)
    generation: Mapped[int] = mapped_column(default=0)
    specification: Mapped[dict[str, Any]]
    dataset_id: Mapped[int] = mapped_column(ForeignKey(Dataset.id), index=True)
    state: Mapped[str] = mapped_column(default=JobState.QUEUED, index=True)
    stage: Mapped[int] = mapped_column(default=0)
    shards_total: Mapped[int]
    shards_left: Mapped[int]  # of all stages
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    error: Mapped[str | None]
    summary: Mapped[dict[str, Any] | None]  # what the job says of its result, in a few numbers
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Shard(Base):
    """A piece of a job that one worker does at a time."""

    __tablename__ = "shards"
    __table_args__ = (
        UniqueConstraint("job_id", "stage", "number"),
        one_of("state", ShardState),
        CheckConstraint("(state = 'running') = (token IS NOT NULL AND lease_until IS NOT NULL)", name="lease"),
        CheckConstraint("attempt >= 0 AND attempt <= 3", name="attempt"),
        Index(None, "state", "sent_at", "id"),  # messages that are due, in the order in which they are sent
        Index(None, "job_id", "state", "stage"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    stage: Mapped[int]
    stage_name: Mapped[str]
    number: Mapped[int]
    queue: Mapped[str]
    payload: Mapped[dict[str, Any]]
    state: Mapped[str]
    attempt: Mapped[int] = mapped_column(default=0)
    token: Mapped[str | None]  # fences off a worker that lost its lease
    lease_until: Mapped[float | None]  # seconds since 1970, by the database's clock
    sent_at: Mapped[float | None]  # likewise; NULL: a message is due
    worker: Mapped[str | None]
    work_done: Mapped[int] = mapped_column(default=0)
    work_total: Mapped[int]  # in images, or what the stage counts
    result_path: Mapped[ArtifactPath | None]  # partial result in the artifact store
    error: Mapped[str | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Event(Base):
    """What happened to a job, for `analyze logs`."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    shard_id: Mapped[int | None] = mapped_column(ForeignKey("shards.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime] = mapped_column(default=utc_now)
    level: Mapped[str]
    message: Mapped[str]


class Worker(Base):
    """A running worker process, alive while ``seen_at`` is recent (seconds since 1970, database clock)."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(primary_key=True)
    device: Mapped[str]
    queues: Mapped[list[str]]
    pid: Mapped[int]
    started_at: Mapped[datetime] = mapped_column(default=utc_now)
    seen_at: Mapped[float]


class Counter(Base):
    """What was counted since the database was made, for ``analyze metrics``: see ``shared.jobs.ledger``."""

    __tablename__ = "counters"

    name: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)  # of the job; empty: none is known
    stage: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[float]


class Artifact(Base):
    """A file of the artifact store, named by its content."""

    __tablename__ = "artifacts"

    path: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(Sha256)
    bytes: Mapped[int]
    # The job that wrote it first; NULL: that job was removed.
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"), index=True)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class RemovedJob(Base):
    """A job that was removed with ``analyze rm``. Its number is not given to another job."""

    __tablename__ = "removed_jobs"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str]
    description: Mapped[str]
    dataset: Mapped[str]  # name
    submitted_at: Mapped[datetime]
    removed_at: Mapped[datetime] = mapped_column(default=utc_now)
