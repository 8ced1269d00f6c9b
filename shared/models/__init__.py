"""The tables. Queries of people may rely on the names that `docs/sql.md` lists."""

from shared.models.base import ArtifactPath, Base, CleanText, Sha256, UTCDateTime, one_of, utc_now
from shared.models.datasets import Dataset, DatasetProblem, Image, ImageSplit
from shared.models.jobs import ACTIVE_JOBS, Artifact, Counter, Event, Job, JobState, Shard, ShardState, Worker
from shared.models.occlusion import OcclusionJob, OcclusionMap, OcclusionPosition
from shared.models.searches import (
    BottomActivation,
    ClassActivation,
    RankedActivation,
    SearchedLayer,
    SearchedUnit,
    TopActivation,
    UnitStatistics,
)
from shared.models.training import Answer, Checkpoint, CheckpointKind, Epoch, Network, Phase, TrainingRun

__all__ = [
    "ACTIVE_JOBS",
    "Answer",
    "Artifact",
    "ArtifactPath",
    "Base",
    "BottomActivation",
    "Checkpoint",
    "CheckpointKind",
    "ClassActivation",
    "CleanText",
    "Counter",
    "Dataset",
    "DatasetProblem",
    "Epoch",
    "Event",
    "Image",
    "ImageSplit",
    "Job",
    "JobState",
    "Network",
    "OcclusionJob",
    "OcclusionMap",
    "OcclusionPosition",
    "Phase",
    "RankedActivation",
    "SearchedLayer",
    "SearchedUnit",
    "Sha256",
    "Shard",
    "ShardState",
    "TopActivation",
    "TrainingRun",
    "UTCDateTime",
    "UnitStatistics",
    "Worker",
    "one_of",
    "utc_now",
]
