"""Training loop: resumption, reproducibility, metrics, and out-of-memory errors."""

from __future__ import annotations

import copy
import io
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests import reference
from unitscope.data.images import ImageSource, batches, to_input
from unitscope.data.sampling import some_of_each_class
from unitscope.errors import NotFinite
from unitscope.networks import build as networks
from unitscope.networks.initialization import initialize
from unitscope.training.loop import IncompatibleState, Trainer
from unitscope.training.optimizers import is_fused
from unitscope.training.recipes import Recipe

SIZE = 64


@pytest.fixture(scope="module")
def sources(shapes_root: Path) -> list[ImageSource]:
    """48 images of 20 classes."""
    files = sorted((shapes_root / "VOC2007" / "JPEGImages").glob("*.jpg"))[:48]
    return [ImageSource(number, file, label=number % 20) for number, file in enumerate(files)]


def new_model() -> nn.Module:
    torch.manual_seed(1)
    model = networks.build("zfnet", 20, SIZE, fc=16)
    initialize(model, "he")
    return model


def new_trainer(**recipe: Any) -> Trainer:
    return Trainer(
        new_model(), Recipe(**{"learning_rate": 5e-4, "lr_step": 2, "batch_size": 16, **recipe}), seed=7
    )


def epoch(trainer: Trainer, sources: list[ImageSource]) -> tuple[float, float]:
    learned = trainer.train(batches(trainer.order(sources), 16, SIZE))
    checked = trainer.validate(batches(sources[:16], 16, SIZE))
    trainer.end_epoch(checked)
    return learned.loss, checked.loss


RECIPES: dict[str, dict[str, Any]] = {
    "adam, steps": {},
    "sgd, plateau, bounded filters, crops": {
        "optimizer": "sgd",
        "schedule": "plateau",
        "patience": 0,
        "filter_rms": 0.01,
        "crop_padding": 4,
    },
    "adamw, cosine, rates of its own, frozen": {
        "optimizer": "adamw",
        "schedule": "cosine",
        "weight_decay": 0.01,
        "rates": {"classifier.*": 1e-4},
        "freeze": ("features.0",),
    },
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_resumed_run_ends_with_the_same_bits(sources: list[ImageSource], name: str) -> None:
    def new_trainer() -> Trainer:
        recipe = Recipe(**{"learning_rate": 5e-4, "lr_step": 2, "batch_size": 16, **RECIPES[name]})
        return Trainer(new_model(), recipe, seed=7)

    undisturbed = new_trainer()
    losses = [epoch(undisturbed, sources) for _ in range(4)]
    first = new_trainer()
    resumed_losses = [epoch(first, sources) for _ in range(2)]
    file = io.BytesIO()
    torch.save(first.state(), file)
    torch.rand(1000)  # the resuming process uses the global generator, too
    second = new_trainer()
    epoch(second, sources)
    file.seek(0)
    second.load_state(torch.load(file, weights_only=True))
    resumed_losses += [epoch(second, sources) for _ in range(2)]
    assert resumed_losses == losses
    for name, tensor in undisturbed.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name]), name
    assert second.learning_rate == undisturbed.learning_rate


def with_step(name: str, *, fused: bool) -> Trainer:
    """Return a trainer with or without a fused step; a version of the program had none."""
    recipe = Recipe(**{"learning_rate": 5e-4, "lr_step": 2, "batch_size": 16, **RECIPES[name]})
    trainer = Trainer(new_model(), recipe, seed=7)
    assert is_fused(trainer.optimizer)
    for group in trainer.optimizer.param_groups:
        group["fused"] = fused or None
    return trainer


def weights_of(trainer: Trainer) -> list[torch.Tensor]:
    return list(trainer.model.state_dict().values())


@pytest.mark.parametrize("name", RECIPES)
def test_a_run_that_began_without_fused_steps_continues_without_them(
    sources: list[ImageSource], name: str
) -> None:
    """The rest of the run has the bits that it had in the version that began it."""
    old, continued = with_step(name, fused=False), with_step(name, fused=True)
    torch.manual_seed(3)
    epoch(old, sources[:16])
    state = copy.deepcopy(old.state())
    epoch(old, sources[:16])
    continued.load_state(state)
    assert not is_fused(continued.optimizer)
    epoch(continued, sources[:16])
    assert all(map(torch.equal, weights_of(continued), weights_of(old)))


@pytest.mark.parametrize("name", RECIPES)
def test_a_fused_step_differs_in_the_last_bits_only(name: str) -> None:
    """Its kernels go through the memory of weights and gradients, whose layouts must be the same."""
    trainers = [with_step(name, fused=fused) for fused in (False, True)]
    for _ in range(3):
        images, labels = torch.randn(4, 3, SIZE, SIZE), torch.arange(4)
        trainers[0]._learn(images.contiguous(memory_format=torch.channels_last), labels)
        for parameter, other in zip(*(trainer.model.parameters() for trainer in trainers), strict=True):
            other.grad = None if parameter.grad is None else parameter.grad.clone()
        for trainer in trainers:
            trainer._step()
    for unfused, fused in zip(*map(weights_of, trainers), strict=True):
        torch.testing.assert_close(fused, unfused, rtol=1e-5, atol=1e-7)


def changed(state: dict[str, Any], name: str) -> dict[str, Any]:
    """Change a state as another version, network or recipe could have written it."""
    weights, optimizer = state["model"], state["optimizer"]["state"]
    first = next(iter(weights))
    if name == "weights of another shape":
        weights[first] = weights[first][:1].clone()
    elif name == "weights of another type":
        weights[first] = weights[first].double()
    elif name == "one weight less":
        del weights[first]
    elif name == "one weight more":
        weights["features.99.weight"] = torch.zeros(3)
    elif name == "no weights":
        weights[first] = "a tensor once"
    elif name == "moments of another shape":
        optimizer[0]["exp_avg"] = optimizer[0]["exp_avg"][:1].clone()
    elif name == "moments of another type":
        optimizer[0]["exp_avg_sq"] = optimizer[0]["exp_avg_sq"].half()
    elif name == "moments of more parameters":
        optimizer[999] = optimizer[0]
    elif name == "other groups":
        state["optimizer"]["param_groups"] *= 2
    elif name == "random state of another type":
        state["random"] = state["random"].int()
    elif name == "order of another length":
        state["generator"] = state["generator"][:10].clone()
    elif name == "epoch as text":
        state["epoch"] = "2"
    elif name == "no schedule":
        del state["schedule"]
    else:
        raise AssertionError(name)
    return state


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("weights of another shape", "features.0.weight is [1,"),
        ("weights of another type", "torch.float64, not"),
        ("one weight less", "it has no 'features.0.weight'"),
        ("one weight more", "features.99.weight"),
        ("no weights", "shape"),
        ("moments of another shape", "exp_avg of parameter 0 is [1,"),
        ("moments of another type", "exp_avg_sq of parameter 0"),
        ("moments of more parameters", "index"),
        ("other groups", "parameter group"),
        ("random state of another type", "ByteTensor"),
        ("order of another length", "RNG state"),
        ("epoch as text", "epoch is '2'"),
        ("no schedule", "it has no 'schedule'"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(sources: list[ImageSource], name: str, message: str) -> None:
    """It must not be loaded and fail at the next step, or give other results."""
    recipe = Recipe(batch_size=16)
    first = Trainer(new_model(), recipe, seed=7)
    epoch(first, sources)
    with pytest.raises(IncompatibleState) as raised:
        Trainer(new_model(), recipe, seed=7).load_state(changed(copy.deepcopy(first.state()), name))
    assert message in str(raised.value)


def test_results_depend_on_the_seed(sources: list[ImageSource]) -> None:
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


def test_a_nan_loss_is_an_error_with_epoch_and_batch(sources: list[ImageSource]) -> None:
    trainer = new_trainer()
    with torch.no_grad():
        trainer.model.classifier[6].weight.fill_(float("nan"))
    with pytest.raises(NotFinite, match="epoch 1, batch 1"):
        epoch(trainer, sources)


def test_the_metrics_of_a_pass_equal_a_plain_computation(sources: list[ImageSource]) -> None:
    trainer = new_trainer()
    checked = trainer.validate(batches(sources, 16, SIZE))
    trainer.model.eval()
    with torch.inference_mode():
        pixels = torch.cat([to_input(batch.pixels) for batch in batches(sources, 16, SIZE)])
        logits = trainer.model(pixels)
    labels = torch.tensor([source.label for source in sources])
    ranks = logits.argsort(dim=1, descending=True)
    assert checked.accuracy == pytest.approx((ranks[:, 0] == labels).double().mean().item())
    assert checked.top5 == pytest.approx((ranks[:, :5] == labels[:, None]).any(1).double().mean().item())
    assert checked.loss == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item(), rel=1e-5)
    matrix = torch.zeros(20, 20, dtype=torch.int64)
    for true, answer in zip(labels.tolist(), ranks[:, 0].tolist(), strict=True):
        matrix[true, answer] += 1
    assert sorted(map(tuple, checked.answers.tolist())) == [
        (true, answer, int(matrix[true, answer])) for true, answer in matrix.nonzero().tolist()
    ]


def test_the_gradient_norm_is_that_of_all_parameters(sources: list[ImageSource]) -> None:
    trainer = new_trainer(flip=0.0)
    batch = next(batches(sources[:16], 16, SIZE))
    learned = trainer.train([batch])
    other = new_model().train()
    torch.manual_seed(7)
    labels = torch.tensor([source.label for source in batch.sources])
    torch.nn.functional.cross_entropy(other(to_input(batch.pixels)), labels).backward()
    squares = sum(float(p.grad.double().square().sum()) for p in other.parameters())
    assert learned.gradient_norm == pytest.approx(squares**0.5, rel=1e-4)


class Greedy(nn.Module):
    """Raises an out-of-memory error for batches of more than ``limit`` images."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit
        self.layer = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 20))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if len(images) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.layer(images)


def test_after_out_of_memory_a_batch_is_split_with_the_same_gradient(
    sources: list[ImageSource],
) -> None:
    recipe = Recipe(batch_size=16, flip=0.0, optimizer="sgd")
    sizes: list[int] = []
    weights = []
    for limit in (16, 5):
        torch.manual_seed(0)
        trainer = Trainer(Greedy(limit), recipe, on_smaller=sizes.append)
        learned = trainer.train(batches(sources, 16, SIZE))
        assert learned.images == 48
        weights.append(trainer.model.layer[1].weight.detach().clone())
        assert trainer.validate(batches(sources, 16, SIZE)).images == 48
    assert sizes == [8, 4]
    assert torch.allclose(weights[0], weights[1], rtol=1e-4, atol=1e-7)


def test_a_single_image_that_does_not_fit_is_an_error(sources: list[ImageSource]) -> None:
    trainer = Trainer(Greedy(0), Recipe(batch_size=16))
    with pytest.raises(torch.OutOfMemoryError):
        trainer.train(batches(sources, 16, SIZE))


def test_a_sample_of_each_class_depends_on_the_seed(sources: list[ImageSource]) -> None:
    chosen = some_of_each_class(sources, 2, seed=1)
    assert Counter(source.label for source in chosen) == dict.fromkeys(range(20), 2)
    assert chosen == some_of_each_class(sources, 2, seed=1) != some_of_each_class(sources, 2, seed=2)
    assert [source.id for source in chosen] == sorted(source.id for source in chosen)
    assert some_of_each_class(sources, 9, seed=1) == sources


def test_zfnet_equals_the_replications_network() -> None:
    """tests/reference.py has a second implementation: names, shapes and outputs are the same."""
    torch.manual_seed(2)
    ours = networks.build("zfnet", 20, 227, fc=32).eval()
    theirs = reference.zfnet(20, 32).eval()
    theirs.load_state_dict(ours.state_dict())
    pixels = torch.rand(2, 3, 227, 227)
    with torch.no_grad():
        features = theirs.features(pixels)
        assert features.shape[1:] == (256, 6, 6)
        assert torch.allclose(theirs.classifier(features.flatten(1)), ours(pixels), atol=1e-5)
