"""Parameter groups, schedules, initial weights, and the bound on filters."""

from __future__ import annotations

import copy
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn

from unitscope.data.images import Batch, ImageSource
from unitscope.errors import InvalidArgument
from unitscope.networks.initialization import initialize
from unitscope.training.loop import Trainer
from unitscope.training.optimizers import (
    bound_filters,
    filter_bounds,
    freeze_statistics,
    is_frozen,
    make_optimizer,
    make_schedule,
    parameter_groups,
)
from unitscope.training.recipes import Recipe

HALF = (0.5, 0.5, 0.5)


@pytest.fixture
def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(3, 4, 3),
            bn1=nn.BatchNorm2d(4),
            layer1=nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)),
            fc=nn.Linear(4, 2),
        )
    )


def test_each_rate_has_a_group_and_other_parameters_have_the_recipes_rate(model: nn.Sequential) -> None:
    groups = parameter_groups(model, Recipe(learning_rate=0.1, rates={"conv1": 0.01, "layer1.*": 0.02}))
    found = {group["lr"]: len(group["params"]) for group in groups}
    assert found == {0.1: 4, 0.01: 2, 0.02: 4}


def test_frozen_modules_need_no_gradient_and_keep_their_statistics(model: nn.Sequential) -> None:
    groups = parameter_groups(model, Recipe(freeze=("conv1", "layer1.*", "bn1")))
    assert sum(len(group["params"]) for group in groups) == 2
    assert not model.conv1.weight.requires_grad
    model.train()
    freeze_statistics(model)
    assert not model.layer1[1].training
    assert model.fc.training
    before = model.layer1[1].running_mean.clone()
    model.layer1(model.bn1(model.conv1(torch.rand(2, 3, 8, 8))))
    assert torch.equal(model.layer1[1].running_mean, before)


def test_a_normalization_without_parameters_is_frozen_with_its_parent() -> None:
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False), nn.Dropout())
    model = nn.Sequential(plain, nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4, affine=False)))
    parameter_groups(model, Recipe(freeze=("0",)))
    model.train()
    freeze_statistics(model)
    assert [module.training for module in (plain[1], plain[2], model[1][1])] == [False, True, True]


def test_trained_modules_inside_a_frozen_module_stay_in_training_mode() -> None:
    """A frozen parameter of the parent, such as a class token, doesn't affect the modules inside."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout())
    model.register_parameter("token", nn.Parameter(torch.zeros(4)))
    parameter_groups(model, Recipe(freeze=("token",)))
    model.train()
    freeze_statistics(model)
    assert model[1].training
    assert model[2].training


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("marked", ["by the recipe", "before"])
def test_a_training_step_does_not_change_frozen_tensors(optimizer: str, marked: str) -> None:
    torch.manual_seed(0)
    inside = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.BatchNorm2d(4, affine=False))
    model = nn.Sequential(inside, nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    inside.requires_grad_(marked != "before")
    freeze = {} if marked == "before" else {"freeze": ("0",)}
    # All filters exceed the bound, and weights decay.
    recipe = Recipe(optimizer=optimizer, filter_rms=1e-3, weight_decay=0.5, learning_rate=0.1, **freeze)
    trainer = Trainer(model, recipe, seed=0)
    before = copy.deepcopy(trainer.model.state_dict())
    sources = [ImageSource(number, Path(), label=number % 2) for number in range(4)]
    batch = Batch(torch.randint(0, 256, (4, 3, 12, 12), dtype=torch.uint8), sources)
    trainer.train([batch, batch])
    after = trainer.model.state_dict()
    for name, tensor in before.items():
        assert torch.equal(after[name], tensor) == name.startswith("0."), name


def test_initialization_does_not_change_frozen_parameters(model: nn.Sequential) -> None:
    recipe = Recipe(freeze=("conv1",))
    model.fc.bias.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    names = {name for name, parameter in model.named_parameters() if is_frozen(name, parameter, recipe)}
    assert names == {"conv1.weight", "conv1.bias", "fc.bias"}
    initialize(model, "he-quiet", names)
    for name in ("conv1.weight", "conv1.bias", "fc.bias"):
        assert torch.equal(model.state_dict()[name], before[name])
    assert not torch.equal(model.layer1[0].weight, before["layer1.0.weight"])
    assert not torch.equal(model.fc.weight, before["fc.weight"])


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (Recipe(freeze=("conv9",)), "conv9"),
        (Recipe(rates={"conv9": 0.1}), "conv9"),
        (Recipe(freeze=("*",)), "All parameters are frozen"),
    ],
)
def test_patterns_that_match_nothing_are_refused(model: nn.Sequential, recipe: Recipe, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        parameter_groups(model, recipe)


def test_the_schedules(model: nn.Sequential) -> None:
    def rates(recipe: Recipe, accuracies: list[float]) -> list[float]:
        optimizer = make_optimizer(model, recipe)
        schedule = make_schedule(optimizer, recipe)
        found = []
        for accuracy in accuracies:
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if recipe.schedule == "plateau":
                schedule.step(accuracy)
            else:
                schedule.step()
        return found

    flat = [0.5] * 4
    assert rates(Recipe(learning_rate=1, lr_step=2), flat) == pytest.approx([1, 1, 0.1, 0.1])
    assert rates(Recipe(learning_rate=1, schedule="constant"), flat) == [1, 1, 1, 1]
    plateau = Recipe(learning_rate=1, schedule="plateau", patience=1)
    assert rates(plateau, [0.1, 0.2, 0.2, 0.2, 0.2]) == pytest.approx([1, 1, 1, 1, 0.1])
    cosine = rates(Recipe(learning_rate=1, schedule="cosine", epochs=4), flat)
    assert cosine == pytest.approx([1, 0.853553, 0.5, 0.146447], abs=1e-5)


def test_only_filters_beyond_the_bound_are_scaled_down() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
    recipe = Recipe(filter_rms=0.1)
    bounds = filter_bounds(model, recipe, std=tuple(0.5 / 128 for _ in range(3)))
    assert [bound for _, bound in bounds] == pytest.approx([0.1, 0.1])
    with torch.no_grad():
        model[0].weight.fill_(0.05)
        model[1].weight.fill_(0.4)
        model[1].weight[0] = 0.0
    bound_filters(bounds)
    assert torch.equal(model[0].weight, torch.full_like(model[0].weight, 0.05))
    assert torch.allclose(model[1].weight[1:], torch.tensor(0.1))
    assert not model[1].weight[0].any()


def test_the_filters_of_a_frozen_convolution_are_not_scaled() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3))
    recipe = Recipe(filter_rms=0.1, freeze=("0", "2"))
    parameter_groups(model, recipe)
    bounds = filter_bounds(model, recipe, HALF)
    assert [convolution for convolution, _ in bounds] == [model[1]]
    # The bound of a deeper layer, although it is the first one that is trained.
    assert [bound for _, bound in bounds] == pytest.approx([0.1])


def test_the_first_layers_bound_follows_the_range_of_the_pixels() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
    assert [bound for _, bound in filter_bounds(model, Recipe(filter_rms=0.1), HALF)] == pytest.approx([12.8, 0.1])
    assert filter_bounds(model, Recipe(), HALF) == []


def test_initial_weights() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(16, 64, 5), nn.ReLU(), nn.Linear(1000, 500))
    initialize(model, "he")
    assert model[0].weight.std().item() == pytest.approx((2 / (16 * 25)) ** 0.5, rel=0.05)
    initialize(model, "he-quiet")
    assert model[0].weight.std().item() == pytest.approx(0.1 * (2 / (16 * 25)) ** 0.5, rel=0.05)
    assert model[2].weight.std().item() == pytest.approx((2 / 1000) ** 0.5, rel=0.05)
    initialize(model, "paper")
    assert model[2].weight.std().item() == pytest.approx(1e-2, rel=0.05)
    assert not model[2].bias.any()
    before = model[2].weight.clone()
    initialize(model, "default")
    assert torch.equal(model[2].weight, before)
