"""Training loop of a classifier. It runs one epoch at a time, so that a run can be resumed after any epoch."""

from __future__ import annotations

import math
import time
from collections import Counter
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
from unitscope.memory import is_out_of_memory, run_or_halve
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


class IncompatibleState(Exception):
    """A state that was not saved by a ``Trainer`` of this version, network and recipe."""


@dataclass(frozen=True)
class PhaseResult:
    """Results of one pass over a split.

    ``loss`` is the mean cross-entropy, ``accuracy`` and ``top5`` are shares of the images (0 to 1), ``seconds`` is
    wall-clock time. A training pass has ``gradient_norm``, the mean norm over the batches; a validation pass has
    ``answers``, int64 [K, 3]: (true class, predicted class, number of images) of each pair that occurs.
    """

    loss: float
    accuracy: float
    top5: float
    images: int
    seconds: float
    gradient_norm: float | None = None
    answers: torch.Tensor | None = None

    @property
    def class_accuracy(self) -> float | None:
        """Mean of the accuracies of the classes that have images (paper, Tables 4 to 6); None without answers."""
        if self.answers is None or not len(self.answers):
            return None
        right: Counter[int] = Counter()
        images: Counter[int] = Counter()
        for true, predicted, count in self.answers.tolist():
            images[true] += count
            right[true] += count * (true == predicted)
        return sum(right[label] / images[label] for label in images) / len(images)


@dataclass(frozen=True)
class _Part:
    """Results of some images of a batch, on the device: mean loss (0-dimensional), and logits [N, classes]."""

    loss: torch.Tensor
    logits: torch.Tensor


@dataclass
class _Tally:
    """Sums over the batches of a pass; the values of the last few batches may not have been read yet."""

    epoch: int
    readings: Readings[list[int]]
    loss: float = 0.0
    right: int = 0
    right5: int = 0
    images: int = 0
    batches: int = 0  # whose values were read
    gradient_norm: float = 0.0
    pairs: list[torch.Tensor] = field(default_factory=list)  # [2, N]: true and predicted classes

    def add(self, parts: Sequence[_Part], labels: torch.Tensor, gradient_norm: torch.Tensor | None = None) -> None:
        """Add the results of a batch.

        Raises
        ------
        NotFinite
            the loss of this batch or an earlier one is NaN or infinite.
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
                    where = f"The loss of epoch {self.epoch}, batch {self.batches}"
                    raise NotFinite(where=where, value=loss)
            images = sum(sizes)
            self.loss += sum(loss * size for loss, size in zip(losses, sizes, strict=True)) / images * images
            self.right += int(right)
            self.right5 += int(right5)
            self.gradient_norm += norm
            self.images += images

    def result(self, began: float, *, learned: bool) -> PhaseResult:
        """Return the results of the pass, which began at ``began`` (``time.monotonic()``).

        Raises
        ------
        NotFinite
            the loss of a batch is NaN or infinite.
        """
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
    """Network, optimizer, schedule and random generators of a training run.

    Training starts from the weights of ``model``. ``state`` and ``load_state`` save and restore everything that
    the remaining epochs depend on: a resumed run gives bit-identical weights to an uninterrupted one, on a CPU and
    on the same GPU (see ``determinism.reproducible``).

    Parameters
    ----------
    model
        network that takes images float32 [N, 3, H, W] and returns logits [N, classes]; moved to ``device`` and
        trained in place.
    recipe
        optimizer, schedule, augmentation and precision.
    seed
        seed of the image order, flips and crops, and of torch's global generator (dropout).
    device
        device to train on.
    mean, std
        the input's normalization by channel: see ``unitscope.data.images.to_input``.
    on_smaller
        called with the new number of images per forward pass when a batch doesn't fit into the device's memory.

    Raises
    ------
    InvalidArgument
        the recipe freezes all parameters, or one of its patterns matches none.
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
        self.at_once = recipe.batch_size  # images per forward pass: fewer after an out-of-memory error
        self.on_smaller = on_smaller
        self.epoch = 0  # completed epochs
        self.generator = torch.Generator().manual_seed(seed)  # image order, flips and crops
        torch.manual_seed(seed)  # dropout

    @property
    def learning_rate(self) -> float:
        """Current learning rate of the first parameter group, which has the recipe's rate if it is used at all."""
        return float(self.optimizer.param_groups[0]["lr"])

    def order(self, sources: Sequence[ImageSource]) -> list[ImageSource]:
        """Shuffle the training images; the order is drawn from the run's generator."""
        return [sources[i] for i in torch.randperm(len(sources), generator=self.generator).tolist()]

    def train(self, batches: Iterable[Batch], progress: Progress = lambda images: None) -> PhaseResult:
        """Train on every batch once; ``progress`` is called with the number of images after each.

        Raises
        ------
        NotFinite
            the loss is NaN or infinite; the message has epoch and batch.
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
        """Evaluate every batch once, without changing weights, statistics or random generators.

        Raises
        ------
        NotFinite
            the loss is NaN or infinite; the message has epoch and batch.
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
        """Count the epoch, and step the learning-rate schedule (``plateau``: with the validation accuracy)."""
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
        """Run a batch forward and backward; return losses and logits, and leave its gradient in the parameters."""

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
        """Compute a batch, ``at_once`` images at a time; halve that number if memory runs out, and restart."""

        def compute_all() -> list[_Part]:
            # Also discards the gradients of an attempt that ran out of memory.
            self.optimizer.zero_grad(set_to_none=True)
            parts = zip(images.split(self.at_once), labels.split(self.at_once), strict=True)
            return [compute(part, part_labels) for part, part_labels in parts]

        results: list[_Part] | None = None
        while results is None:
            size = min(self.at_once, len(images))
            results, smaller = run_or_halve(compute_all, size, self.device, self.on_smaller)
            if results is None:
                self.at_once = smaller
        return results

    def _step(self) -> torch.Tensor:
        """Update the weights; return the norm of the gradient of all parameters, on the device."""
        gradients = [
            p.grad for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None
        ]
        norm = torch.nn.utils.get_total_norm(gradients)
        self.optimizer.step()
        bound_filters(self.bounds)
        return norm

    def state(self) -> dict[str, Any]:
        """Return everything the remaining epochs depend on: nested dicts of tensors, numbers and strings."""
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
        """Restore a state that ``state`` returned.

        Raises
        ------
        IncompatibleState
            an entry is missing, or a tensor has another shape or type. The trainer may then be partly restored and
            must not be used.
        """
        try:
            self._check_state(state)
            self._restore(state)
        except KeyError as error:
            raise IncompatibleState(f"it has no {error}") from error
        except (LookupError, ValueError, TypeError, AttributeError) as error:
            raise IncompatibleState(str(error)) from error
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            raise IncompatibleState(str(error)) from error

    def _check_state(self, state: dict[str, Any]) -> None:
        """Check shapes and types.

        PyTorch would accept other types, and optimizer tensors of any shape, and fail later.
        """
        for name, tensor in self.model.state_dict().items():
            _check_alike(name, state["model"][name], tensor)
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        for number, values in state["optimizer"]["state"].items():
            for name, value in values.items():
                if isinstance(value, torch.Tensor) and value.dim():  # step counters are 0-dimensional
                    _check_alike(f"{name} of parameter {number}", value, parameters[number])
        for name in ("epoch", "at_once"):
            if type(state[name]) is not int:
                raise TypeError(f"{name} is {state[name]!r}")

    def _restore(self, state: dict[str, Any]) -> None:
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
    """Whether ``device`` is a GPU with native bfloat16: older ones emulate it, slower than float32."""
    if device.type != "cuda":
        return False
    with torch.cuda.device(device):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def _check_alike(name: str, saved: torch.Tensor, current: torch.Tensor) -> None:
    if (saved.shape, saved.dtype) != (current.shape, current.dtype):
        expected = f"{list(current.shape)} {current.dtype}"
        raise ValueError(f"{name} is {list(saved.shape)} {saved.dtype}, not {expected}")
