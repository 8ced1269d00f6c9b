"""Training runs. A run is one shard, which resumes from its last checkpoint and can pause after each epoch."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from shared.kinds.specification import TRAINING, PlannedShard, Specification, TimeSlice
from unitscope.data.subsets import Fold
from unitscope.description import NetworkSpecification
from unitscope.training.recipes import Recipe

# Fields of version 1, which had the values of the recipe, but neither a recipe nor its name.
VERSION_1_RECIPE = frozenset({"epochs", "batch_size", "learning_rate", "lr_step", "lr_gamma", "flip", "init"})
TIME_SLICE_MINUTES = 10.0
KEPT_EPOCHS = (1, 2, 5, 10, 20, 30, 40, 64)  # paper, Fig. 4


def _is_none(value: object) -> bool:
    return value is None


class TrainSpecification(Specification):
    """The network, the recipe and the data of a training run."""

    kind: ClassVar[str] = "train"
    # Not incremented for the fused step, which changes the last bits of new runs: checkpoints record the form, so
    # that begun runs go on with theirs, and submitting a run again returns the one that exists.
    version: ClassVar[int] = 2
    not_in_key: ClassVar[frozenset[str]] = frozenset(
        {"recipe_name", "weights_path", "extended_job_id", "extended_path", "tensorboard", "time_slice_minutes"}
    )

    network: NetworkSpecification
    recipe_name: str
    recipe: Recipe
    train_split: str = "train"
    val_split: str = "val"
    train_count: int = Field(ge=1)
    val_count: int = Field(ge=1)
    train_per_class: int | None = Field(default=None, ge=1, description="number of training images of each class")
    # Left out of the JSON if they are None, so that the keys of runs without them don't depend on them.
    val_per_class: int | None = Field(
        default=None, ge=1, exclude_if=_is_none, description="largest number of validation images of each class"
    )
    fold: Fold | None = Field(
        default=None, exclude_if=_is_none, description="part of both splits together that is validated on"
    )
    seed: int = Field(default=0, ge=0, lt=2**63)
    keep_epochs: tuple[int, ...] = Field(default=KEPT_EPOCHS, description="epochs after which weights are kept")
    # Initial weights in the artifact store; a head for another number of classes is not loaded.
    weights_sha256: str | None = None
    weights_path: str | None = None
    # The state of a finished run that this one extends.
    extended_sha256: str | None = None
    extended_path: str | None = None
    extended_job_id: int | None = None
    extended_epochs: int = 0
    tensorboard: bool = False
    time_slice_minutes: float = Field(
        default=TIME_SLICE_MINUTES, ge=0, description="training time after which waiting work gets its turn"
    )

    @model_validator(mode="before")
    @classmethod
    def _convert_version_1(cls, values: Any) -> Any:
        """Convert the specification of a job of version 1, so that it can still be listed, shown and run."""
        if not isinstance(values, dict) or "recipe" in values or not values.keys() >= VERSION_1_RECIPE:
            return values
        others = {name: value for name, value in values.items() if name not in VERSION_1_RECIPE}
        return others | {"recipe_name": "zfnet", "recipe": {name: values[name] for name in VERSION_1_RECIPE}}

    @model_validator(mode="after")
    def _check_fold(self) -> Self:
        if self.fold and not 1 <= self.fold.number <= self.fold.folds:
            raise ValueError(f"there is no fold {self.fold.number} among {self.fold.folds}")
        return self

    @property
    def time_slice(self) -> TimeSlice:
        """A run can pause after each epoch."""
        return TimeSlice(60 * self.time_slice_minutes, self.train_count + self.val_count)

    def plan(self) -> list[PlannedShard]:
        """Plan one shard; the unit of work is images seen."""
        epochs = self.recipe.epochs - self.extended_epochs
        return [PlannedShard("train", TRAINING, {}, epochs * (self.train_count + self.val_count))]
