"""Tables of jobs, shards, events, workers, counters and artifacts."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Integer, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.base import ArtifactPath, Base, Sha256, one_of, utc_now
from shared.database.datasets import Dataset, Image


class JobState(StrEnum):
    QUEUED = "queued"  # no shard has been claimed yet
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ShardState(StrEnum):
    WAITING = "waiting"  # an earlier stage is not done
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ACTIVE_JOBS = (JobState.QUEUED, JobState.RUNNING)


class Job(Base):
    """A request and its state. ``key`` identifies the result; ``--force`` makes a new ``generation`` of a key."""

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
    priority: Mapped[int] = mapped_column(server_default="0", default=0)  # ``shared.jobs.priority.Priority``
    error: Mapped[str | None]
    summary: Mapped[dict[str, Any] | None]  # key figures of the result
    # Of the files that it wrote first.
    stored_bytes: Mapped[int] = mapped_column(BigInteger, server_default="0", default=0)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Shard(Base):
    """A part of a job, computed by one worker at a time."""

    __tablename__ = "shards"
    __table_args__ = (
        UniqueConstraint("job_id", "stage", "number"),
        one_of("state", ShardState),
        CheckConstraint("(state = 'running') = (token IS NOT NULL AND lease_until IS NOT NULL)", name="lease"),
        CheckConstraint("attempt >= 0 AND attempt <= 3", name="attempt"),
        Index(None, "state", "sent_at", "id"),  # for Ledger.take_unsent
        Index(None, "job_id", "state", "stage"),
        Index(None, "job_id", "state", "queue", "paused_until"),  # for shared.jobs.precedence
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
    token: Mapped[str | None]  # fencing token: refuses writes of a worker that lost its lease
    lease_until: Mapped[float | None]  # seconds since 1970, by the database's clock
    sent_at: Mapped[float | None]  # likewise; NULL if a message is due
    # Likewise; of a shard that was queued again for others to run first: see ``Ledger.pause``.
    paused_until: Mapped[float | None]
    worker: Mapped[str | None]
    work_done: Mapped[int] = mapped_column(default=0)
    work_total: Mapped[int]  # in images, or the unit of work of the stage
    result_path: Mapped[ArtifactPath | None]  # partial result in the artifact store
    error: Mapped[str | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Event(Base):
    """An entry of a job's log, for `analyze logs`."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    shard_id: Mapped[int | None] = mapped_column(ForeignKey("shards.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime] = mapped_column(default=utc_now)
    level: Mapped[str]
    message: Mapped[str]


class LeftOutImage(Base):
    """An image whose content can't be decoded, which a job left out. It is part of the job's result."""

    __tablename__ = "left_out_images"

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey(Image.id, ondelete="CASCADE"), primary_key=True, index=True)
    stage: Mapped[str]
    reason: Mapped[str]
    worker: Mapped[str | None]  # that found it


class Worker(Base):
    """A worker process, alive while ``seen_at`` is recent (seconds since 1970, by the database's clock)."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(primary_key=True)
    device: Mapped[str]
    queues: Mapped[list[str]]
    pid: Mapped[int]
    started_at: Mapped[datetime] = mapped_column(default=utc_now)
    seen_at: Mapped[float]
    problem: Mapped[str | None]  # why it takes no shards, or is restarted again and again
    memory_used: Mapped[int | None] = mapped_column(BigInteger)  # of its device, in bytes
    memory_total: Mapped[int | None] = mapped_column(BigInteger)


class Counter(Base):
    """A counter for ``analyze metrics``, incremented by the ledger since the database was created."""

    __tablename__ = "counters"

    name: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)  # of the job
    stage: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[float]


class Artifact(Base):
    """A file of the artifact store."""

    __tablename__ = "artifacts"

    path: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(Sha256)
    bytes: Mapped[int] = mapped_column(BigInteger().with_variant(Integer(), "sqlite"))
    # The job that wrote the file first; NULL if that job was removed.
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


class Study(Base):
    """A named set of jobs, which ``analyze study run`` submitted. ``source`` is its file."""

    __tablename__ = "studies"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    title: Mapped[str]
    source: Mapped[str]
    parameters: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now)


class StudyJob(Base):
    """A submitted job of a study; a job can belong to several studies.

    ``entry`` is its name in the study's file, ``name`` that of this member of the entry's grid, ``number`` its
    position in the study.
    """

    __tablename__ = "study_jobs"

    study_id: Mapped[int] = mapped_column(ForeignKey(Study.id, ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int]
    entry: Mapped[str]
    labels: Mapped[dict[str, Any]]
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
