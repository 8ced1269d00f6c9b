"""The tables. Queries of people may rely on the names that `docs/sql.md` lists."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    CheckConstraint,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class UTCDateTime(TypeDecorator[datetime]):
    """An aware time in UTC, on SQLite too, which keeps no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC) if value else None


class CleanText(TypeDecorator[str]):
    """Text that any database keeps: error texts and file names can hold NUL, or bytes that are no UTF-8."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return value.encode("utf-8", "replace").decode().replace("\0", "\ufffd") if value else value


def utc_now() -> datetime:
    return datetime.now(UTC)


def one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


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


class Phase(StrEnum):
    TRAIN = "train"
    VAL = "val"


class CheckpointKind(StrEnum):
    STATE = "state"  # all that a run needs to go on
    BEST = "best"  # weights of the best validation accuracy
    LAST = "last"  # weights of the last epoch
    EPOCH = "epoch"  # weights of an epoch that is kept


ACTIVE_JOBS = (JobState.QUEUED, JobState.RUNNING)


class Base(DeclarativeBase):
    """Names every constraint, so that migrations can speak of them on both databases."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012
        dict[str, Any]: JSON,
        list[str]: JSON,
        list[int]: JSON,
        datetime: UTCDateTime,
        str: CleanText,
    }


Sha256 = String(64)


# --- data sets ---


class Dataset(Base):
    """A registered data set. ``fingerprint`` is the SHA-256 of the content of all its usable images."""

    __tablename__ = "datasets"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    root: Mapped[str]
    options: Mapped[dict[str, Any]]
    fingerprint: Mapped[str] = mapped_column(Sha256)
    class_names: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Image(Base):
    """One usable image: a whole file, or the box of one object in it.

    Boxes are in pixels, from 0, right and bottom exclusive (Pillow's way); no box means the whole file.
    """

    __tablename__ = "images"
    __table_args__ = (
        UniqueConstraint("dataset_id", "path", "object_number"),
        CheckConstraint("width > 0 AND height > 0", name="size"),
        CheckConstraint(
            "(box_left IS NULL AND box_top IS NULL AND box_right IS NULL AND box_bottom IS NULL) OR "
            "(box_left IS NOT NULL AND box_top IS NOT NULL AND box_right IS NOT NULL AND box_bottom IS NOT NULL "
            "AND box_left >= 0 AND box_top >= 0 AND box_left < box_right AND box_top < box_bottom "
            "AND box_right <= width AND box_bottom <= height)",
            name="box",
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"))
    path: Mapped[str]  # relative to the data set's root
    object_number: Mapped[int]  # from 1 in the order of the annotation; 0: the whole image
    class_index: Mapped[int]
    class_name: Mapped[str]
    width: Mapped[int]  # of the file
    height: Mapped[int]
    box_left: Mapped[int | None]
    box_top: Mapped[int | None]
    box_right: Mapped[int | None]
    box_bottom: Mapped[int | None]
    sha256: Mapped[str] = mapped_column(Sha256)  # of the file

    @property
    def box(self) -> tuple[int, int, int, int] | None:
        """(left, top, right, bottom), or None for the whole image."""
        if self.box_left is None or self.box_top is None or self.box_right is None or self.box_bottom is None:
            return None
        return self.box_left, self.box_top, self.box_right, self.box_bottom


class ImageSplit(Base):
    """Which images a split has; an image can be in several (``train`` and ``trainval``)."""

    __tablename__ = "image_splits"
    __table_args__ = (Index(None, "dataset_id", "split", "image_id"),)

    split: Mapped[str] = mapped_column(primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"), primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"))


class DatasetProblem(Base):
    """What was left out of a data set when it was registered, and why."""

    __tablename__ = "dataset_problems"

    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"), index=True)
    path: Mapped[str]
    object_number: Mapped[int]
    reason: Mapped[str]  # a short code, to count by
    detail: Mapped[str]


# --- jobs ---


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
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id"), index=True)
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
        Index(None, "state", "queue"),
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
    result_path: Mapped[str | None]  # partial result in the artifact store
    error: Mapped[str | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Event(Base):
    """What happened to a job, for `analyze logs`."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    shard_id: Mapped[int | None] = mapped_column(ForeignKey("shards.id", ondelete="CASCADE"))
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


class Artifact(Base):
    """A file of the artifact store, named by its content."""

    __tablename__ = "artifacts"

    path: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(Sha256)
    bytes: Mapped[int]
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)  # first maker
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


# --- networks and training ---


class Network(Base):
    """The description of a network, worked out once: see ``shared.networks``."""

    __tablename__ = "networks"

    key: Mapped[str] = mapped_column(Sha256, primary_key=True)
    name: Mapped[str]
    description: Mapped[dict[str, Any]]


class TrainingRun(Base):
    """A training job's network and what came of it."""

    __tablename__ = "training_runs"

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id"), index=True)
    network_key: Mapped[str] = mapped_column(ForeignKey("networks.key"))
    network: Mapped[str]
    epochs: Mapped[int]
    best_epoch: Mapped[int | None]
    best_accuracy: Mapped[float | None]
    curves_path: Mapped[str | None]
    confusion_path: Mapped[str | None]  # picture of the confusion matrix at the best epoch
    filters_path: Mapped[str | None]  # picture of the first layer's filters
    environment: Mapped[dict[str, Any] | None]  # device and versions of the libraries it ran with


class Epoch(Base):
    """One pass over a split in a training run."""

    __tablename__ = "epochs"
    __table_args__ = (one_of("phase", Phase),)

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)  # from 1
    phase: Mapped[str] = mapped_column(String(8), primary_key=True)
    loss: Mapped[float]
    accuracy: Mapped[float]  # 0 to 1
    top5_accuracy: Mapped[float | None]  # the right class is among the five most probable
    gradient_norm: Mapped[float | None]  # mean over the steps; NULL where nothing was learned
    learning_rate: Mapped[float]
    images: Mapped[int]
    seconds: Mapped[float]


class Checkpoint(Base):
    """What a training run keeps on disk."""

    __tablename__ = "checkpoints"
    __table_args__ = (one_of("kind", CheckpointKind),)

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(8), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)  # of state, best and last there is one
    path: Mapped[str]
    sha256: Mapped[str] = mapped_column(Sha256)
    bytes: Mapped[int]


class Answer(Base):
    """How often images of a class were taken for another, at a run's best epoch: read it through the view
    ``confusion_matrix``. Pairs that don't occur have no row."""

    __tablename__ = "answers"
    __table_args__ = (CheckConstraint("images > 0", name="images"),)

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    true_index: Mapped[int] = mapped_column(primary_key=True)
    answer_index: Mapped[int] = mapped_column(primary_key=True)
    true_class: Mapped[str]
    answer_class: Mapped[str]
    images: Mapped[int]


# --- results of a top-9 search ---


class SearchedLayer(Base):
    """A layer that a top-9 job searched."""

    __tablename__ = "searched_layers"
    __table_args__ = (UniqueConstraint("job_id", "layer_path"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    layer: Mapped[str]  # as people say it: conv5
    layer_path: Mapped[str]  # the module: features.10
    contact_sheet_path: Mapped[str | None]


class SearchedUnit(Base):
    """A unit that a top-9 job searched; a dead one was positive on no image."""

    __tablename__ = "searched_units"

    layer_id: Mapped[int] = mapped_column(ForeignKey("searched_layers.id", ondelete="CASCADE"), primary_key=True)
    unit: Mapped[int] = mapped_column(primary_key=True)
    dead: Mapped[bool]
    patches_path: Mapped[str | None]  # mosaic of the image patches
    projections_path: Mapped[str | None]  # mosaic of the projections


class RankedActivation:
    """What the rows of every ranking have: an image that fires a unit, how much, and where in the unit's map."""

    layer_id: Mapped[int] = mapped_column(ForeignKey("searched_layers.id", ondelete="CASCADE"), primary_key=True)
    unit: Mapped[int] = mapped_column(primary_key=True)
    rank: Mapped[int] = mapped_column(primary_key=True)
    activation: Mapped[float]
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id"), index=True)
    row: Mapped[int]
    col: Mapped[int]


class TopActivation(RankedActivation, Base):
    """One of the images that fire a unit most: read it through the view ``top_activations`` of the migrations."""

    __tablename__ = "top_activation_rows"
    __table_args__ = (CheckConstraint("rank >= 1", name="rank"), CheckConstraint("unit >= 0", name="unit"))

    patch_path: Mapped[str]
    projection_path: Mapped[str]
    projection_scale: Mapped[float]  # largest |value| of the projection: what is drawn as full black or white
    tied: Mapped[bool | None]  # another image fires the unit exactly as much; NULL: made before this was noted


class UnitStatistics(Base):
    """Of a unit's spatial maximum in each image: read it through the view ``unit_statistics``."""

    __tablename__ = "unit_statistics_rows"
    __table_args__ = (CheckConstraint("images >= 1", name="images"),)

    layer_id: Mapped[int] = mapped_column(ForeignKey("searched_layers.id", ondelete="CASCADE"), primary_key=True)
    unit: Mapped[int] = mapped_column(primary_key=True)
    images: Mapped[int]
    mean: Mapped[float]
    minimum: Mapped[float]
    maximum: Mapped[float]
    fired_share: Mapped[float]  # 0 to 1: of the images where it is positive
    q50: Mapped[float]  # quantiles
    q90: Mapped[float]
    q99: Mapped[float]
    q999: Mapped[float]
    histogram: Mapped[list[int]]  # images in equal steps from minimum to maximum


class BottomActivation(RankedActivation, Base):
    """One of the images with a unit's lowest spatial minima: read it through the view ``bottom_activations``."""

    __tablename__ = "bottom_activation_rows"
    __table_args__ = (
        CheckConstraint("rank >= 1", name="rank"),
        CheckConstraint("activation < 0", name="sign"),
    )


class ClassActivation(RankedActivation, Base):
    """One of the images of a class that fire a unit most: read it through the view ``class_activations``."""

    __tablename__ = "class_activation_rows"
    __table_args__ = (
        CheckConstraint("rank >= 1", name="rank"),
        CheckConstraint("activation > 0", name="sign"),
    )

    class_index: Mapped[int] = mapped_column(primary_key=True)


# --- results of an occlusion sweep ---


class OcclusionMap(Base):
    """What the sweep of an image found: read it through the view ``occlusion_maps`` of the migrations.

    Rows and columns are the square's first ones, in pixels of the network's input; activations are sums over the
    unit's map behind its ReLU, probabilities of the true class unless another is named.
    """

    __tablename__ = "occlusion_map_rows"
    __table_args__ = (
        CheckConstraint("positions >= 1 AND computed >= 1 AND computed <= positions", name="positions"),
        CheckConstraint("class_changes >= 0 AND class_changes <= positions", name="class_changes"),
    )

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id"), primary_key=True, index=True)
    layer: Mapped[str]
    layer_path: Mapped[str]
    unit: Mapped[int]
    clear_activation: Mapped[float]
    clear_probability: Mapped[float]
    clear_class: Mapped[str]  # the most probable
    positions: Mapped[int]  # of the square
    computed: Mapped[int]  # of them; the others were interpolated
    error: Mapped[float | None]  # measured on a sample of those, in shares of a map's range
    min_activation: Mapped[float]
    min_activation_row: Mapped[int]
    min_activation_col: Mapped[int]
    min_probability: Mapped[float]
    min_probability_row: Mapped[int]
    min_probability_col: Mapped[int]
    class_changes: Mapped[int]  # positions where another class than the clear image's is the most probable
    correlation: Mapped[float | None]  # of activation and probability over the positions; NULL: one is constant
    target_class: Mapped[str | None]
    clear_target_probability: Mapped[float | None]
    min_target_probability: Mapped[float | None]
    max_target_probability: Mapped[float | None]
    # Mean over the positions whose centre is inside, or outside, of the object's box; where whole files are swept.
    inside_probability: Mapped[float | None]
    outside_probability: Mapped[float | None]
    engine: Mapped[str]
    array_path: Mapped[str]
    projection_path: Mapped[str | None]  # of the unit, from this image; NULL: it doesn't fire
    patch_path: Mapped[str | None]  # what the projection is of
    picture_path: Mapped[str | None]  # the figure


class OcclusionPosition(Base):
    """A position of the square on an image: read it through the view ``occlusion_positions``."""

    __tablename__ = "occlusion_position_rows"

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id"), primary_key=True, index=True)
    row: Mapped[int] = mapped_column(primary_key=True)
    col: Mapped[int] = mapped_column(primary_key=True)
    activation: Mapped[float]
    probability: Mapped[float]
    target_probability: Mapped[float | None]
    class_name: Mapped[str]  # the most probable


class OcclusionJob(Base):
    """An occlusion job's contact sheet."""

    __tablename__ = "occlusion_jobs"

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    contact_sheet_path: Mapped[str]
