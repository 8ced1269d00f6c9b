"""The training loop: what a run depends on is in its state, and nothing else is."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch

from shared.errors import NotFinite
from tests import reference
from worker.vision import networks
from worker.vision.images import ImageSource, batches
from worker.vision.training import Recipe, Trainer

SIZE = 64


@pytest.fixture(scope="module")
def sources(shapes_root: Path) -> list[ImageSource]:
    """48 images of 20 classes."""
    files = sorted((shapes_root / "VOC2007" / "JPEGImages").glob("*.jpg"))[:48]
    return [ImageSource(number, file, label=number % 20) for number, file in enumerate(files)]


def new_trainer(**recipe: float) -> Trainer:
    torch.manual_seed(1)
    model = networks.build("zfnet", 20, SIZE, fc=16)
    networks.initialise_he(model)
    return Trainer(model, Recipe(learning_rate=5e-4, lr_step=2, seed=7, **recipe))


def epoch(trainer: Trainer, sources: list[ImageSource]) -> tuple[float, float]:
    learned = trainer.train(batches(trainer.order(sources), 16, SIZE))
    checked = trainer.validate(batches(sources[:16], 16, SIZE))
    return learned.loss, checked.loss


def test_a_run_taken_up_again_ends_with_the_same_bits(sources: list[ImageSource]) -> None:
    undisturbed = new_trainer()
    losses = [epoch(undisturbed, sources) for _ in range(4)]
    first = new_trainer()
    resumed_losses = [epoch(first, sources) for _ in range(2)]
    file = io.BytesIO()
    torch.save(first.state(), file)
    torch.rand(1000)  # whatever else happens in the process that goes on
    second = new_trainer()
    epoch(second, sources)
    file.seek(0)
    second.load_state(torch.load(file, weights_only=True))
    resumed_losses += [epoch(second, sources) for _ in range(2)]
    assert resumed_losses == losses
    for name, tensor in undisturbed.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name]), name
    assert second.learning_rate == undisturbed.learning_rate == pytest.approx(5e-4 * 0.01)


def test_the_seed_decides(sources: list[ImageSource]) -> None:
    assert epoch(new_trainer(), sources) == epoch(new_trainer(), sources)
    other = new_trainer()
    other.generator.manual_seed(8)
    assert epoch(other, sources) != epoch(new_trainer(), sources)


def test_validation_changes_nothing(sources: list[ImageSource]) -> None:
    trainer = new_trainer()
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    random, order = torch.get_rng_state(), trainer.generator.get_state()
    trainer.validate(batches(sources, 16, SIZE))
    assert all(torch.equal(tensor, before[name]) for name, tensor in trainer.model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.equal(trainer.generator.get_state(), order)


def test_a_loss_that_is_no_number_stops_the_run_with_epoch_and_batch(sources: list[ImageSource]) -> None:
    trainer = new_trainer()
    with torch.no_grad():
        trainer.model.classifier[6].weight.fill_(float("nan"))
    with pytest.raises(NotFinite, match="epoch 1, batch 1"):
        epoch(trainer, sources)


def test_flips_are_of_single_images(sources: list[ImageSource]) -> None:
    trainer = new_trainer(flip=0.5)
    pixels = torch.rand(64, 3, 4, 4)
    flipped = trainer._flip(pixels)
    is_flipped = [torch.equal(flipped[i], pixels[i].flip(2)) for i in range(64)]
    is_same = [torch.equal(flipped[i], pixels[i]) for i in range(64)]
    assert all(a != b for a, b in zip(is_flipped, is_same, strict=True))
    assert 16 < sum(is_flipped) < 48


def test_zfnet_is_the_replications_network() -> None:
    """Written down a second time in tests/reference.py: the same names, shapes and outputs."""
    torch.manual_seed(2)
    ours = networks.build("zfnet", 20, 227, fc=32).eval()
    theirs = reference.zfnet(20, 32).eval()
    theirs.load_state_dict(ours.state_dict())
    pixels = torch.rand(2, 3, 227, 227)
    with torch.no_grad():
        features = theirs.features(pixels)
        assert features.shape[1:] == (256, 6, 6)
        assert torch.allclose(theirs.classifier(features.flatten(1)), ours(pixels), atol=1e-5)
