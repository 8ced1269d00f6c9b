"""Linear probes (paper, Table 7): classifiers on the features of layers.

Three stages: *features* (shards of images), *fit* (a shard for each layer, classifier and trial), and *finish*
(one shard: the curve and the summary).
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.kinds.specification import ANALYSIS, CPU, PlannedShard, Specification, batch_ranges, range_shards
from unitscope.data.subsets import Fold
from unitscope.description import NetworkSpecification
from unitscope.probing.layers import MAX_FEATURES, ProbedLayer
from unitscope.vocabulary import Classifier, Pooling

# Forward passes have this many images, and shards start at multiples of it: the last bits of an activation can
# depend on the batch size, and rows must not depend on the number of shards.
BATCH = 32
MOST_SHARDS = 100_000
IMAGES_OF_SHARD = 512  # by default: its features are held in memory


def default_shards(images: int) -> int:
    """Return the number of shards of a specification that doesn't name it."""
    return min(-(-images // IMAGES_OF_SHARD), MOST_SHARDS)


class Trial(NamedTuple):
    """A division of the images into training and test images; ``number`` counts from 1."""

    number: int
    seed: int
    fold: Fold | None


class Sampling(BaseModel):
    """The images of each trial: folds of both splits together, or images drawn from the two splits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train_split: str
    test_split: str
    folds: int | None = Field(default=None, ge=2, le=100)
    repeats: int = Field(default=1, ge=1, le=100, description="trials without folds; their seeds are consecutive")
    per_class: int | None = Field(default=None, ge=1, description="training images of each class; None: all")
    test_per_class: int | None = Field(default=None, ge=1, description="largest number; None: all")
    seed: int = Field(default=0, ge=0, lt=2**62)

    @model_validator(mode="after")
    def _one_kind_of_trials(self) -> Self:
        if self.folds and self.repeats > 1:
            raise ValueError("folds can't be repeated")
        return self

    @property
    def trials(self) -> list[Trial]:
        """The trials in order."""
        if self.folds:
            return [Trial(number, self.seed, Fold(number, self.folds)) for number in range(1, self.folds + 1)]
        return [Trial(number, self.seed + number - 1, None) for number in range(1, self.repeats + 1)]


class ProbeSpecification(Specification):
    """Probes of the layers of a network."""

    kind: ClassVar[str] = "probe"
    version: ClassVar[int] = 1
    not_in_key: ClassVar[frozenset[str]] = frozenset({"shards", "weights_path", "training_job_id", "image_count"})

    sampling: Sampling
    image_count: int = Field(ge=1)  # images of all trials
    network: NetworkSpecification
    weights_sha256: str
    weights_path: str  # in the artifact store
    training_job_id: int | None
    layers: list[ProbedLayer] = Field(min_length=1)
    classifiers: tuple[Classifier, ...] = Field(min_length=1)
    pooling: Pooling = "average"
    max_features: int = Field(default=MAX_FEATURES, ge=1)
    shuffle_labels: bool = False  # of the training images, as a control
    shards: int | None = Field(default=None, ge=1, le=MOST_SHARDS, description="None: one for every 512 images")

    def plan(self) -> list[PlannedShard]:
        """Plan shards of images that start at multiples of the batch size, and one shard for each probe."""
        pieces = self.shards or default_shards(self.image_count)
        shards = range_shards("features", ANALYSIS, batch_ranges(self.image_count, BATCH, pieces))
        for layer in range(len(self.layers)):
            for classifier in self.classifiers:
                for trial in self.sampling.trials:
                    payload = {"layer": layer, "classifier": classifier, "trial": trial.number}
                    shards.append(PlannedShard("fit", CPU, payload, 1))
        return [*shards, PlannedShard("finish", CPU, {}, 1)]
