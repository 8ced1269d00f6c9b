"""A training run: one shard, which goes on from its last checkpoint."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from shared.networks import NetworkSpecification
from shared.specifications.base import TRAINING, PlannedShard, Specification


class TrainSpecification(Specification):
    """The defaults are the recipe of the published replications on VOC crops: Adam 1e-3, StepLR 15 x 0.1,
    batch 128, horizontal flips, mean 0.5 and std 0.5 per channel, 50 epochs, cross-entropy."""

    kind: ClassVar[str] = "train"
    version: ClassVar[int] = 1
    not_in_key: ClassVar[frozenset[str]] = frozenset()

    network: NetworkSpecification
    train_split: str = "train"
    val_split: str = "val"
    train_count: int = Field(ge=1)
    val_count: int = Field(ge=1)
    epochs: int = Field(default=50, ge=1, le=10_000)
    batch_size: int = Field(default=128, ge=1, le=4096)
    learning_rate: float = Field(default=1e-3, gt=0, le=10)
    lr_step: int = Field(default=15, ge=1, description="epochs between two drops of the learning rate")
    lr_gamma: float = Field(default=0.1, gt=0, le=1, description="factor of a drop")
    flip: float = Field(default=0.5, ge=0, le=1, description="probability of a horizontal flip")
    init: Literal["default", "he"] = Field(
        default="default", description="initial weights: PyTorch's, or He et al. 2015's"
    )
    seed: int = Field(default=0, ge=0, lt=2**63)

    def plan(self) -> list[PlannedShard]:
        """One shard; its work is counted in images seen."""
        return [PlannedShard("train", TRAINING, {}, self.epochs * (self.train_count + self.val_count))]
