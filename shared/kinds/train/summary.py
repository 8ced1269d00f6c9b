"""The summary of a training run: the type of ``jobs.summary``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class TrainSummary(BaseModel):
    """Key figures of a training run. ``first_layer``: numbers of filters, and of those that are dead."""

    model_config = ConfigDict(strict=True)

    best_epoch: int | None
    best_accuracy: float | None
    epochs: int
    images_left_out: int
    first_layer: dict[str, float | int] | None
    class_accuracy: float | None = None  # mean of the accuracies of the classes, at the best epoch
