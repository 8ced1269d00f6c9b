"""Training runs on a GPU."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.gpu.devices import SHARES, Device
from tests.gpu.networks import CLASSES, batches, network
from unitscope.data.images import Batch
from unitscope.errors import NotFinite
from unitscope.training.loop import PhaseResult, Trainer
from unitscope.training.recipes import Recipe

SIZE, IMAGES, BATCH = 64, 32, 8
RECIPES: dict[str, dict[str, Any]] = {
    "adam": {"optimizer": "adam", "learning_rate": 1e-3},
    "sgd, crops, bounded filters": {
        "optimizer": "sgd",
        "learning_rate": 1e-2,
        "crop_padding": 4,
        "filter_rms": 0.1,
        "schedule": "plateau",
        "freeze": ("features.0",),
    },
    "mixed": {"optimizer": "adamw", "learning_rate": 1e-3, "precision": "mixed"},
}


def samples(size: int = SIZE) -> list[Batch]:
    """Generate images whose tint depends on their class."""
    drawn = np.random.default_rng(0)
    tints = drawn.integers(0, 156, (CLASSES, 1, 1, 3))
    images = drawn.integers(0, 100, (IMAGES, size, size, 3)) + tints[np.arange(IMAGES) % CLASSES]
    return batches(images.astype(np.uint8), BATCH)


def trainer_on(device: torch.device | str, name: str = "zfnet", size: int = SIZE, **recipe: Any) -> Trainer:
    chosen = Recipe(**{"batch_size": BATCH, "lr_step": 2, "precision": "float32", **recipe})
    return Trainer(network(name, size), chosen, seed=7, device=device)


def epoch(trainer: Trainer, size: int = SIZE) -> tuple[PhaseResult, PhaseResult]:
    """Train and validate for one epoch, with the images in random order."""
    together = samples(size)
    pixels = torch.cat([batch.pixels for batch in together])
    sources = [source for batch in together for source in batch.sources]
    order = [sources.index(source) for source in trainer.order(sources)]
    shuffled = [
        Batch(pixels[order[first : first + BATCH]], [sources[n] for n in order[first : first + BATCH]])
        for first in range(0, IMAGES, BATCH)
    ]
    learned = trainer.train(shuffled)
    checked = trainer.validate(together)
    trainer.end_epoch(checked)
    return learned, checked


def numbers(result: PhaseResult) -> tuple[Any, ...]:
    answers = None if result.answers is None else result.answers.tolist()
    return result.loss, result.accuracy, result.top5, result.images, result.gradient_norm, answers


def without_dropout(trainer: Trainer) -> Trainer:
    for module in trainer.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return trainer


def test_an_epoch_equals_that_of_the_cpu(device: torch.device) -> None:
    """Without dropout, since CPU and GPU generate different random numbers."""
    actual, expected = (
        epoch(without_dropout(trainer_on(where, optimizer="sgd", learning_rate=1e-3))) for where in (device, "cpu")
    )
    for one, other in zip(actual, expected, strict=True):
        assert one.images == other.images == IMAGES
        assert one.loss == pytest.approx(other.loss, rel=1e-3)
        assert abs(one.accuracy - other.accuracy) <= 1 / IMAGES
    assert actual[0].gradient_norm == pytest.approx(expected[0].gradient_norm, rel=1e-2)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_resumed_run_is_bitwise_equal_to_an_uninterrupted_one(device: torch.device, recipe: str) -> None:
    """The state saved between two epochs is sufficient, including the device's random state for dropout."""
    undisturbed = trainer_on(device, **RECIPES[recipe])
    results = [epoch(undisturbed) for _ in range(2)]
    first = trainer_on(device, **RECIPES[recipe])
    again = [epoch(first)]
    file = io.BytesIO()
    torch.save(first.state(), file)
    second = trainer_on(device, **RECIPES[recipe])
    epoch(second)
    torch.rand(100), torch.rand(100, device=device)  # change the random states of the resuming process
    file.seek(0)
    second.load_state(torch.load(file, map_location="cpu", weights_only=True))
    again.append(epoch(second))
    assert [[*map(numbers, pair)] for pair in again] == [[*map(numbers, pair)] for pair in results]
    for name, tensor in undisturbed.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name]), name


def test_a_run_can_move_to_the_device_and_back(device: torch.device) -> None:
    recipe = RECIPES["adam"]
    trainer = trainer_on("cpu", **recipe)
    for where in (device, "cpu"):
        epoch(trainer)
        file = io.BytesIO()
        torch.save(trainer.state(), file)
        file.seek(0)
        trainer = trainer_on(where, **recipe)
        trainer.load_state(torch.load(file, map_location="cpu", weights_only=True))
    assert trainer.epoch == 2
    assert np.isfinite(epoch(trainer)[0].loss)


@pytest.mark.parametrize("precision", ["float32", "mixed", "auto"])
def test_the_loss_decreases(device: torch.device, precision: str) -> None:
    trainer = without_dropout(trainer_on(device, optimizer="adam", learning_rate=1e-3, precision=precision))
    losses = [epoch(trainer)[1].loss for _ in range(4)]
    assert losses[-1] < 0.5 * math.log(CLASSES)  # half the loss of equal probabilities
    if precision != "auto":
        assert trainer.mixed == (precision == "mixed")


def test_networks_with_normalization_train(device: torch.device) -> None:
    """The networks have contrast or batch normalization, sums, and pooling that doesn't divide its map."""
    for name, size in (("zfnet-paper", 80), ("residual", 48), ("zfnet", 96)):
        results = []
        for _ in range(2):
            trainer = trainer_on(device, name, size, optimizer="sgd", learning_rate=1e-3)
            results.append([numbers(result) for result in epoch(trainer, size)])
        assert results[0] == results[1], name
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_nan_loss_is_reported_for_its_batch(device: torch.device) -> None:
    """Although the loss is read only after later batches have been queued."""
    trainer = trainer_on(device)
    ran = 0

    def spoil(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        nonlocal ran
        ran += 1
        if ran == 2:
            with torch.no_grad():
                trainer.model.classifier[-1].bias.fill_(float("inf"))

    trainer.model.register_forward_pre_hook(spoil)
    with pytest.raises(NotFinite, match="epoch 1, batch 2"):
        trainer.train(samples())


def test_when_memory_runs_out_a_batch_is_trained_in_parts(gpu: Device) -> None:
    smaller: list[int] = []
    many, size = gpu.scaled((32, 64), (256, 96))
    recipe = Recipe(batch_size=many, optimizer="sgd", learning_rate=1e-3, precision="float32", flip=0.0)
    images = np.random.default_rng(0).integers(0, 256, (many, size, size, 3)).astype(np.uint8)

    def trainer() -> Trainer:
        made = Trainer(network("zfnet", size), recipe, 7, gpu.device, on_smaller=smaller.append)
        return without_dropout(made)

    first = trainer()
    first.train(batches(images, many))  # allocates the workspaces of the libraries
    with gpu.measured() as peak:
        expected = first.validate(batches(images, many)), first.train(batches(images, many))
    assert not smaller
    for share in SHARES:
        second = trainer()
        second.train(batches(images, many))
        with gpu.limited(share * peak.reserved):
            actual = second.validate(batches(images, many)), second.train(batches(images, many))
        if smaller:
            break
    assert smaller
    for one, other in zip(actual, expected, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-4)
    assert actual[1].gradient_norm == pytest.approx(expected[1].gradient_norm, rel=1e-3)
