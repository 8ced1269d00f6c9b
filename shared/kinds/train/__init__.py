"""Training runs."""

from shared.database.networks import Checkpoint, TrainingRun
from shared.kinds.descriptor import Kind
from shared.kinds.train.specification import TrainSpecification
from shared.kinds.train.summary import TrainSummary
from shared.kinds.train.tables import Answer, Epoch


def describe(specification: TrainSpecification) -> str:
    """Return a short description such as ``train zfnet, 50 epochs``."""
    return f"train {specification.network.name}, {specification.recipe.epochs} epochs"


KIND = Kind(
    name="train",
    specification=TrainSpecification,
    summary=TrainSummary,
    stages={"train": "images"},
    tables=(TrainingRun, Epoch, Checkpoint, Answer),
    describe=describe,
    other_jobs=("extended_job_id",),
)
