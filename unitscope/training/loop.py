"""Training a classifier: one epoch at a time, so that a run can be taken up between any two."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from unitscope.data.augmentation import random_crop, random_flip
from unitscope.data.images import Batch, ImageSource
from unitscope.data.upload import Uploader
from unitscope.determinism import reproducible
from unitscope.errors import NotFinite
from unitscope.memory import halved, is_out_of_memory
from unitscope.networks.placement import place
from unitscope.readings import Readings
from unitscope.training.optimizers import (
    bound_filters,
    filter_bounds,
    freeze_statistics,
    make_optimizer,
    make_schedule,
)
from unitscope.training.recipes import Recipe
from unitscope.vocabulary import Channels

Progress = Callable[[int], None]


class ForeignState(Exception):
    """A state that no ``Trainer`` of this version, network and recipe has given."""


@dataclass(frozen=True)
class PhaseResult:
    """One pass over a split: mean cross-entropy, shares of right answers (first, among the first five), images
    and seconds; the mean norm of the gradient if something was learned, else ``answers``.

    ``answers``: int64 [K, 3], each row (true class, answer, images) of a pair that occurs.
    """

    loss: float
    accuracy: float
    top5: float
    images: int
    seconds: float
    gradient_norm: float | None = None
    answers: torch.Tensor | None = None


@dataclass(frozen=True)
class _Part:
    """What came of some images of a batch, on the device: mean loss, and logits [N, classes]."""

    loss: torch.Tensor
    logits: torch.Tensor


@dataclass
class _Tally:
    """Sums over the batches of a pass, of which the last few may still be on their way from the device."""

    epoch: int
    readings: Readings[list[int]]
    loss: float = 0.0
    right: int = 0
    right5: int = 0
    images: int = 0
    batches: int = 0  # those that were read
    gradient_norm: float = 0.0
    pairs: list[torch.Tensor] = field(default_factory=list)  # of true classes and answers [2, N]

    def add(self, parts: Sequence[_Part], labels: torch.Tensor, gradient_norm: torch.Tensor | None = None) -> None:
        """Count a batch.

        Raises
        ------
        NotFinite
            the loss of this batch, or of one before it.
        """
        logits = torch.cat([part.logits for part in parts])
        best = logits.topk(min(5, logits.shape[1])).indices
        hits = best == labels[:, None]
        self.pairs.append(torch.stack([labels, best[:, 0]]))
        norm = torch.zeros((), device=logits.device) if gradient_norm is None else gradient_norm
        values = [hits[:, 0].sum(), hits.sum(), norm, *(part.loss for part in parts)]
        self._count(self.readings.add(values, [len(part.logits) for part in parts]))

    def _count(self, read: Iterable[tuple[list[float], list[int]]]) -> None:
        for (right, right5, norm, *losses), sizes in read:
            self.batches += 1
            for loss in losses:
                if not math.isfinite(loss):
                    where = f"the loss of epoch {self.epoch}, batch {self.batches}"
                    raise NotFinite(where=where, value=loss)
            images = sum(sizes)
            self.loss += sum(loss * size for loss, size in zip(losses, sizes, strict=True)) / images * images
            self.right += int(right)
            self.right5 += int(right5)
            self.gradient_norm += norm
            self.images += images

    def result(self, began: float, *, learned: bool) -> PhaseResult:
        """Of a pass that began at a time of ``time.monotonic``. Raises ``NotFinite``, too."""
        self._count(self.readings.rest())
        images = max(self.images, 1)
        return PhaseResult(
            self.loss / images,
            self.right / images,
            self.right5 / images,
            self.images,
            time.monotonic() - began,
            self.gradient_norm / max(self.batches, 1) if learned else None,
            None if learned else self._answers(),
        )

    def _answers(self) -> torch.Tensor:
        if not self.pairs:
            return torch.empty(0, 3, dtype=torch.int64)
        pairs, counts = torch.cat(self.pairs, dim=1).cpu().unique(dim=1, return_counts=True)
        return torch.cat([pairs, counts[None]]).T.contiguous()


class Trainer:
    """A network with its optimizer, schedule and random states.

    The model's initial weights are the caller's. ``state`` and ``load_state`` carry everything that the rest of
    a run depends on: a run taken up again ends with the same bits as one that was not interrupted, on a CPU and on
    one and the same GPU (see ``determinism.reproducible``).

    Parameters
    ----------
    mean, std
        the input's normalisation, by channel: see ``unitscope.data.images.to_input``.
    on_smaller
        told the new number of images that are computed at once, when the device's memory did not suffice.

    Raises
    ------
    UsageError
        the recipe freezes everything, or speaks of parameters that are not there.
    """

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        seed: int = 0,
        device: torch.device | str = "cpu",
        *,
        mean: Channels = (0.5, 0.5, 0.5),
        std: Channels = (0.5, 0.5, 0.5),
        on_smaller: Callable[[int], None] = lambda images: None,
    ) -> None:
        self.device = torch.device(device)
        self.model = place(model, self.device)
        self.recipe, self.upload = recipe, Uploader(self.device, mean, std)
        self.optimizer = make_optimizer(self.model, recipe)
        self.schedule = make_schedule(self.optimizer, recipe)
        self.bounds = filter_bounds(self.model, recipe, std)
        self.mixed = recipe.precision == "mixed" or (
            recipe.precision == "auto" and _computes_bfloat16(self.device)
        )
        self.at_once = recipe.batch_size  # images in one forward pass: fewer after the memory did not suffice
        self.on_smaller = on_smaller
        self.epoch = 0  # epochs done
        self.generator = torch.Generator().manual_seed(seed)  # order of the images, flips and crops
        torch.manual_seed(seed)  # dropout

    @property
    def learning_rate(self) -> float:
        """Of the group of parameters that has none of its own, or of the first."""
        return float(self.optimizer.param_groups[0]["lr"])

    def order(self, sources: Sequence[ImageSource]) -> list[ImageSource]:
        """The training images in this epoch's random order."""
        return [sources[i] for i in torch.randperm(len(sources), generator=self.generator).tolist()]

    def train(self, batches: Iterable[Batch], progress: Progress = lambda images: None) -> PhaseResult:
        """Learn from every batch once.

        Raises
        ------
        NotFinite
            the loss became NaN or infinite: epoch and batch are named.
        """
        self.model.train()
        freeze_statistics(self.model)
        began, tally = time.monotonic(), self._tally()
        with reproducible(self.device):
            for batch in batches:
                images, labels = self._augmented(self._input(batch)), self._labels(batch)
                parts = self._learn(images, labels)
                tally.add(parts, labels, self._step())
                progress(len(labels))
        return tally.result(began, learned=True)

    def validate(self, batches: Iterable[Batch], progress: Progress = lambda images: None) -> PhaseResult:
        """Look at every batch once; nothing is learned, no random number drawn.

        Raises
        ------
        NotFinite
        """
        self.model.eval()
        began, tally = time.monotonic(), self._tally()
        with torch.inference_mode():
            for batch in batches:
                images, labels = self._input(batch), self._labels(batch)
                tally.add(self._in_parts(images, labels, self._forward), labels)
                progress(len(labels))
        return tally.result(began, learned=False)

    def end_epoch(self, validated: PhaseResult) -> None:
        """A step of the schedule."""
        if isinstance(self.schedule, torch.optim.lr_scheduler.ReduceLROnPlateau):
            self.schedule.step(validated.accuracy)
        else:
            self.schedule.step()
        self.epoch += 1

    def _tally(self) -> _Tally:
        return _Tally(self.epoch + 1, Readings(self.device))

    def _input(self, batch: Batch) -> torch.Tensor:
        return self.upload(batch.pixels[: len(batch.sources)])

    def _labels(self, batch: Batch) -> torch.Tensor:
        return torch.tensor([source.label for source in batch.sources]).to(self.device, non_blocking=True)

    def _augmented(self, images: torch.Tensor) -> torch.Tensor:
        if self.recipe.crop_padding:
            images = random_crop(images, self.recipe.crop_padding, self.generator)
        return random_flip(images, self.recipe.flip, self.generator) if self.recipe.flip else images

    def _learn(self, images: torch.Tensor, labels: torch.Tensor) -> list[_Part]:
        """Losses and logits of a batch, and its gradient in the parameters."""

        def forward_and_back(part: torch.Tensor, part_labels: torch.Tensor) -> _Part:
            logits, loss = self._logits_and_loss(part, part_labels)
            (loss * (len(part) / len(images))).backward()
            return _Part(loss.detach(), logits.detach())

        return self._in_parts(images, labels, forward_and_back)

    def _forward(self, images: torch.Tensor, labels: torch.Tensor) -> _Part:
        logits, loss = self._logits_and_loss(images, labels)
        return _Part(loss, logits)

    def _logits_and_loss(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed):
            logits = self.model(images)
        logits = logits.float()
        return logits, F.cross_entropy(logits, labels)

    def _in_parts(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        compute: Callable[[torch.Tensor, torch.Tensor], _Part],
    ) -> list[_Part]:
        """A batch, computed ``at_once`` images at a time; half of it when memory runs out."""
        while True:
            self.optimizer.zero_grad(set_to_none=True)  # also what a part left that ran out of memory
            try:
                return [
                    compute(part, part_labels)
                    for part, part_labels in zip(
                        images.split(self.at_once), labels.split(self.at_once), strict=True
                    )
                ]
            except RuntimeError as error:
                if not is_out_of_memory(error) or min(self.at_once, len(images)) == 1:
                    raise
            self.at_once = halved(min(self.at_once, len(images)), self.device)
            self.on_smaller(self.at_once)

    def _step(self) -> torch.Tensor:
        """Change the weights; returns the norm of the whole gradient, on the device."""
        gradients = [
            p.grad for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None
        ]
        norm = torch.nn.utils.get_total_norm(gradients)
        self.optimizer.step()
        bound_filters(self.bounds)
        return norm

    def state(self) -> dict[str, Any]:
        """Everything the rest of the run depends on: tensors, numbers and strings only."""
        return {
            "epoch": self.epoch,
            "at_once": self.at_once,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "generator": self.generator.get_state(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` gave.

        Raises
        ------
        ForeignState
            it lacks something, or holds tensors of other shapes or types: what was taken over of it is no use.
        """
        try:
            self._see_that_it_fits(state)
            self._take_over(state)
        except KeyError as error:
            raise ForeignState(f"it has no {error}") from error
        except (LookupError, ValueError, TypeError, AttributeError) as error:
            raise ForeignState(str(error)) from error
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            raise ForeignState(str(error)) from error

    def _see_that_it_fits(self, state: dict[str, Any]) -> None:
        """PyTorch itself takes over other types, and an optimizer's tensors of any shape, and fails later."""
        for name, own in self.model.state_dict().items():
            _see_that_alike(name, state["model"][name], own)
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        for number, values in state["optimizer"]["state"].items():
            for name, value in values.items():
                if isinstance(value, torch.Tensor) and value.dim():  # counts of steps have no dimension
                    _see_that_alike(f"{name} of parameter {number}", value, parameters[number])
        for name in ("epoch", "at_once"):
            if type(state[name]) is not int:
                raise TypeError(f"{name} is {state[name]!r}")

    def _take_over(self, state: dict[str, Any]) -> None:
        self.epoch = state["epoch"]
        self.at_once = state["at_once"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["random"])
        if self.device.type == "cuda" and state["random_cuda"] is not None:
            torch.cuda.set_rng_state(state["random_cuda"], self.device)


def _computes_bfloat16(device: torch.device) -> bool:
    """Whether it is a GPU that computes in bfloat16 itself: older ones imitate it, slower than float32."""
    if device.type != "cuda":
        return False
    with torch.cuda.device(device):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def _see_that_alike(name: str, given: torch.Tensor, own: torch.Tensor) -> None:
    if (given.shape, given.dtype) != (own.shape, own.dtype):
        raise ValueError(f"{name} is {list(given.shape)} {given.dtype}, not {list(own.shape)} {own.dtype}")
