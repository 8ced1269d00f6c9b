"""The summary of a probe job: the type of ``jobs.summary``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class ProbeSummary(BaseModel):
    """Key figures of a probe job; ``best_*`` is the layer and classifier with the highest mean of per-class
    accuracy, averaged over the trials."""

    model_config = ConfigDict(strict=True)

    images: int
    images_left_out: int
    layers: int
    trials: int
    classes: int
    chance: float
    best_layer: str
    best_classifier: str
    best_class_accuracy: float
    best_accuracy: float
    not_converged: int  # number of probes whose fit stopped at the largest number of iterations
    dtype: str  # of the stored features
