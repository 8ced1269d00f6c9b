"""Result table of a training run: its epochs."""

from __future__ import annotations

from dataclasses import dataclass

from producer.results.tables import ResultTable, columns_of
from shared.kinds.train.tables import Epoch


@dataclass(frozen=True)
class EpochRow:
    """A pass over the training or validation split: columns of the table ``epochs``."""

    epoch: int
    phase: str
    loss: float
    accuracy: float
    top5_accuracy: float | None
    learning_rate: float
    gradient_norm: float | None
    images: int
    seconds: float
    class_accuracy: float | None


EPOCHS: ResultTable[EpochRow] = ResultTable(
    kind="train",
    title="epochs",
    row=EpochRow,
    source=Epoch.__table__,
    columns=columns_of(EpochRow, Epoch),
    job=Epoch.job_id,
    key=(Epoch.epoch, Epoch.phase),
)
