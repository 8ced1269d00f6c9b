"""Training a classifier: one epoch at a time, so that a run can be taken up between any two."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from shared.errors import NotFinite
from worker.vision.images import Batch, ImageSource, to_input

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Recipe:
    """How a network learns; the defaults are the replications' (Adam, StepLR)."""

    learning_rate: float = 1e-3
    lr_step: int = 15
    lr_gamma: float = 0.1
    flip: float = 0.5
    seed: int = 0


@dataclass(frozen=True)
class PhaseResult:
    """One pass over a split: mean cross-entropy, share of right answers, images and seconds."""

    loss: float
    accuracy: float
    images: int
    seconds: float


class Trainer:
    """A network with its optimizer, schedule and random states.

    The model's initial weights are the caller's. ``state`` and ``load_state`` carry everything that the rest of
    a run depends on: on a CPU, a run taken up again ends with the same bits as one that was not interrupted.
    """

    def __init__(self, model: nn.Module, recipe: Recipe, device: torch.device | str = "cpu") -> None:
        self.model = model.to(device, memory_format=torch.channels_last)
        self.recipe = recipe
        self.device = torch.device(device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=recipe.learning_rate)
        self.scheduler = torch.optim.lr_scheduler.StepLR(
            self.optimizer, step_size=recipe.lr_step, gamma=recipe.lr_gamma
        )
        self.epoch = 0  # epochs done
        self.generator = torch.Generator().manual_seed(recipe.seed)  # order of the images, and flips
        torch.manual_seed(recipe.seed)  # dropout

    @property
    def learning_rate(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    def order(self, sources: Sequence[ImageSource]) -> list[ImageSource]:
        """The training images in this epoch's random order."""
        return [sources[i] for i in torch.randperm(len(sources), generator=self.generator).tolist()]

    def train(self, batches: Iterable[Batch], progress: Progress = lambda images: None) -> PhaseResult:
        """One epoch over ``batches``, and a step of the schedule.

        Raises
        ------
        NotFinite
            the loss became NaN or infinite.
        """
        self.model.train()
        result = self._pass(batches, progress, learn=True)
        self.scheduler.step()
        self.epoch += 1
        return result

    def validate(self, batches: Iterable[Batch], progress: Progress = lambda images: None) -> PhaseResult:
        """Loss and accuracy over ``batches``; nothing is learned, no random number drawn."""
        self.model.eval()
        with torch.inference_mode():
            return self._pass(batches, progress, learn=False)

    def _pass(self, batches: Iterable[Batch], progress: Progress, *, learn: bool) -> PhaseResult:
        began = time.monotonic()
        loss_sum, right, count = 0.0, 0, 0
        for number, batch in enumerate(batches):
            images = to_input(batch.pixels, self.device)
            labels = torch.tensor([source.label for source in batch.sources], device=self.device)
            if learn:
                images = self._flip(images)
            logits = self.model(images)
            loss = F.cross_entropy(logits, labels)
            value = loss.item()
            if not torch.isfinite(loss):
                raise NotFinite(where=f"the loss of epoch {self.epoch + 1}, batch {number + 1}", value=value)
            if learn:
                self.optimizer.zero_grad(set_to_none=True)
                loss.backward()
                self.optimizer.step()
            loss_sum += value * len(labels)
            right += int((logits.argmax(1) == labels).sum())
            count += len(labels)
            progress(len(labels))
        return PhaseResult(loss_sum / max(count, 1), right / max(count, 1), count, time.monotonic() - began)

    def _flip(self, images: torch.Tensor) -> torch.Tensor:
        flipped = torch.rand(len(images), generator=self.generator) < self.recipe.flip
        return torch.where(flipped.to(self.device)[:, None, None, None], images.flip(3), images)

    def state(self) -> dict[str, Any]:
        """Everything the rest of the run depends on: tensors, numbers and strings only."""
        return {
            "epoch": self.epoch,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "generator": self.generator.get_state(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` gave."""
        self.epoch = state["epoch"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["random"])
        if self.device.type == "cuda" and state["random_cuda"] is not None:
            torch.cuda.set_rng_state(state["random_cuda"], self.device)
