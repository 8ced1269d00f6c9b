"""A training run: one shard, which goes on from its last checkpoint."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, model_validator

from shared.kinds.specification import TRAINING, PlannedShard, Specification
from unitscope.description import NetworkSpecification
from unitscope.training.recipes import Recipe

# What version 1 had beside network and splits: there was one recipe, the replications', and no name for it.
VERSION_1_RECIPE = frozenset({"epochs", "batch_size", "learning_rate", "lr_step", "lr_gamma", "flip", "init"})
KEPT_EPOCHS = (1, 2, 5, 10, 20, 30, 40, 64)  # paper, Fig. 4


class TrainSpecification(Specification):
    """A network, a recipe, and what it learns from."""

    kind: ClassVar[str] = "train"
    version: ClassVar[int] = 2
    not_in_key: ClassVar[frozenset[str]] = frozenset(
        {"recipe_name", "weights_path", "extended_job_id", "extended_path", "tensorboard"}
    )

    network: NetworkSpecification
    recipe_name: str
    recipe: Recipe
    train_split: str = "train"
    val_split: str = "val"
    train_count: int = Field(ge=1)
    val_count: int = Field(ge=1)
    train_per_class: int | None = Field(default=None, ge=1, description="so many training images of each class")
    seed: int = Field(default=0, ge=0, lt=2**63)
    keep_epochs: tuple[int, ...] = Field(default=KEPT_EPOCHS, description="weights of these epochs are kept")
    # Weights to begin with, in the artifact store; the head of another number of classes is left out.
    weights_sha256: str | None = None
    weights_path: str | None = None
    # The state of a finished run that this one goes on from.
    extended_sha256: str | None = None
    extended_path: str | None = None
    extended_job_id: int | None = None
    extended_epochs: int = 0
    tensorboard: bool = False

    @model_validator(mode="before")
    @classmethod
    def _of_version_1(cls, values: Any) -> Any:
        """Jobs of the first version are still listed, shown, compared and run."""
        if not isinstance(values, dict) or "recipe" in values or not values.keys() >= VERSION_1_RECIPE:
            return values
        kept = {name: value for name, value in values.items() if name not in VERSION_1_RECIPE}
        return kept | {"recipe_name": "zfnet", "recipe": {name: values[name] for name in VERSION_1_RECIPE}}

    def plan(self) -> list[PlannedShard]:
        """One shard; its work is counted in images seen."""
        epochs = self.recipe.epochs - self.extended_epochs
        return [PlannedShard("train", TRAINING, {}, epochs * (self.train_count + self.val_count))]
